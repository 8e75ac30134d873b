/* SPDX-License-Identifier: Apache-2.0 */
/* What our side and the peers in C share: the language of driver.c and the clock. */
#ifndef INVAR_BENCH_PROTOCOL_H
#define INVAR_BENCH_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_WORDS = 64, MAX_LINE = 1 << 16 };

/* A line's words of the form key=value. */
typedef struct {
    char line[MAX_LINE];
    char *key[MAX_WORDS], *value[MAX_WORDS];
    int n;
} words;

void words_parse(words *o, const char *line);
const char *text_of(const words *o, const char *key, const char *otherwise);
size_t number_of(const words *o, const char *key, size_t otherwise);

/* Does the line contain each of these words, up to a NULL? */
bool has_words(const char *line, char *const *wanted);

double seconds(void); /* of the wall's clock, from any start */

#endif
