/* SPDX-License-Identifier: Apache-2.0 */
/* Every CSV text of the tests goes through here, too: read from its file, it must give what it gives in memory. */
#ifndef INVAR_TEST_CSV_STREAM_H
#define INVAR_TEST_CSV_STREAM_H

#include <stddef.h>

#include "test.h"

/* ml_dataset_open_csv() gives the dataset, the log, or the status and message that ml_dataset_from_csv() gives, however
 * many bytes are read at once. */
void test_csv_stream(const char *text, size_t n, const ml_csv_options *options);
/* The same rows, names and outputs, bit for bit, in whatever blocks they are read. */
void test_same_datasets(const ml_dataset *got, const ml_dataset *want);

#endif
