/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void words_parse(words *o, const char *line)
{
    snprintf(o->line, sizeof o->line, "%s", line);
    o->n = 0;
    for (char *word = strtok(o->line, " \n"); word && o->n < MAX_WORDS; word = strtok(NULL, " \n")) {
        char *equal = strchr(word, '=');
        if (!equal)
            continue;
        *equal = '\0';
        o->key[o->n] = word;
        o->value[o->n++] = equal + 1;
    }
}

const char *text_of(const words *o, const char *key, const char *otherwise)
{
    for (int i = 0; i < o->n; i++)
        if (!strcmp(o->key[i], key))
            return o->value[i];
    return otherwise;
}

size_t number_of(const words *o, const char *key, size_t otherwise)
{
    const char *text = text_of(o, key, NULL);

    return text ? (size_t)strtoull(text, NULL, 10) : otherwise;
}

bool has_words(const char *line, char *const *wanted)
{
    for (; *wanted; wanted++)
        if (!strstr(line, *wanted))
            return false;
    return true;
}

double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
