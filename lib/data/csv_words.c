/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of texts: a crit-bit tree (Bernstein 2004) over their bytes. Looking for a text takes one comparison of it and as
 * many steps as there are bits that tell the texts on its path apart, whatever the texts are: there is no hash that a
 * hostile table could collide, and no order of coming that makes it slow.
 */
#include <string.h>

#include "data/csv_import.h"

/* Texts that differ in a bit: children[0] have it clear. A child is 2 * word + 1 or 2 * node. */
struct ml__word_node {
    size_t children[2];
    uint32_t byte;
    uint8_t others; /* all bits but the one that differs */
};

enum { FEWEST_WORDS = 16 };

/* No text has a zero byte, so that its end differs from all that goes on. */
static unsigned byte_of(const char *text, size_t length, size_t at)
{
    return at < length ? (unsigned char)text[at] : 0;
}

static unsigned side_of(const ml__word_node *node, const char *text, size_t length)
{
    return (1 + (node->others | byte_of(text, length, node->byte))) >> 8;
}

/* The word that agrees with the text in all bits that the tree looks at; there is one. */
static size_t nearest(const ml__words *words, const char *text, size_t length)
{
    size_t at = words->root;

    while (!(at & 1))
        at = words->nodes[at / 2].children[side_of(&words->nodes[at / 2], text, length)];
    return at / 2;
}

/* The first byte in which two texts differ; beyond both when they do not. */
static size_t first_difference(const ml__cell *a, const char *text, size_t length)
{
    const size_t n = a->length < length ? a->length : length;
    size_t at = 0;

    while (at < n && a->text[at] == text[at])
        at++;
    return at == n && a->length == length ? n + 1 : at;
}

size_t ml__words_find(const ml__words *words, const char *text, size_t length)
{
    const ml__cell *word;
    size_t found;

    if (!words->n)
        return 0;
    found = nearest(words, text, length);
    word = &words->texts[found];
    return word->length == length && !memcmp(word->text, text, length) ? found : words->n;
}

static ml_status make_room(ml__words *words)
{
    const size_t capacity = words->capacity ? 2 * words->capacity : FEWEST_WORDS;
    ml__word_node *nodes;
    ml__cell *texts;
    ml_status st = ML_OK;

    if (words->n < words->capacity)
        return ML_OK;
    ML__NEW(words->arena, texts, capacity);
    ML__NEW(words->arena, nodes, capacity);
    if (words->n) {
        memcpy(texts, words->texts, words->n * sizeof *texts);
        memcpy(nodes, words->nodes, words->n * sizeof *nodes);
    }
    words->texts = texts;
    words->nodes = nodes;
    words->capacity = capacity;
done:
    return st;
}

/* Node n - 1 goes where the path of word n first looks at a later bit. */
static void insert(ml__words *words, size_t byte, unsigned bits)
{
    const ml__cell *word = &words->texts[words->n];
    ml__word_node *node = &words->nodes[words->n];
    size_t *at = &words->root;

    while (bits & (bits - 1)) /* the highest bit alone */
        bits &= bits - 1;
    node->byte = (uint32_t)byte;
    node->others = (uint8_t)(bits ^ 255);
    while (!(*at & 1)) {
        ml__word_node *next = &words->nodes[*at / 2];
        if (next->byte > node->byte || (next->byte == node->byte && next->others > node->others))
            break;
        at = &next->children[side_of(next, word->text, word->length)];
    }
    node->children[side_of(node, word->text, word->length)] = 2 * words->n + 1;
    node->children[!side_of(node, word->text, word->length)] = *at;
    *at = 2 * words->n;
}

ml_status ml__words_add(ml__words *words, const char *text, size_t length, size_t *index)
{
    const ml__cell *near;
    size_t byte = 0;
    char *copy;
    ml_status st;

    if (words->n) {
        *index = nearest(words, text, length);
        near = &words->texts[*index];
        byte = first_difference(near, text, length);
        if (byte > length)
            return ML_OK;
    }
    ML__TRY(make_room(words));
    copy = ml__arena_text_n(words->arena, text, length);
    ML__TRY(copy ? ML_OK : ML_E_MEMORY);
    words->texts[words->n] = (ml__cell){copy, length};
    if (words->n) {
        near = &words->texts[*index];
        insert(words, byte, byte_of(near->text, near->length, byte) ^ byte_of(text, length, byte));
    } else {
        words->root = 1;
    }
    *index = words->n++;
done:
    return st;
}
