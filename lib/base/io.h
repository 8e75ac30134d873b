/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of the operating system. */
#ifndef ML__BASE_IO_H
#define ML__BASE_IO_H

#include "base/status.h"

/* ML_E_IO: "cannot <action> '<path>': <reason>". `error` is an errno. */
ml_status ml__io_failure(const char *action, const char *path, int error);

#endif
