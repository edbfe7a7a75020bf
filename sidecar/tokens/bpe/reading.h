/* Reads the file of a vocabulary: a line for each token, in base64, with its rank. */

#ifndef BPE_READING_H
#define BPE_READING_H

#include <Python.h>
#include <stdlib.h>

#include "ranks.h"

static int base64_digit(byte sign)
{
    if (sign >= 'A' && sign <= 'Z')
        return sign - 'A';
    if (sign >= 'a' && sign <= 'z')
        return sign - 'a' + 26;
    if (sign >= '0' && sign <= '9')
        return sign - '0' + 52;
    return sign == '+' ? 62 : sign == '/' ? 63 : -1;
}

/* Read `token rank\n`, the token in base64, into an entry; return what follows the line, or NULL where it is none. */
static const byte *read_entry(const byte *at, const byte *end, byte *entry)
{
    uint32_t bits = 0, rank = 0;
    int have = 0, digit;
    size_t length = 0;
    const byte *first;

    for (; at < end && (digit = base64_digit(*at)) >= 0; at++) {
        bits = bits << 6 | (uint32_t)digit;
        if ((have += 6) >= 8) {
            if (length == LONGEST_TOKEN)
                return NULL;
            entry[HEAD + length++] = (byte)(bits >> (have -= 8));
        }
    }
    while (at < end && *at == '=')
        at++;
    if (length == 0 || at == end || *at++ != ' ')
        return NULL;
    for (first = at; at < end && *at >= '0' && *at <= '9' && rank <= HIGHEST_RANK / 10; at++)
        rank = 10 * rank + (uint32_t)(*at - '0');
    if (at == first || at == end || *at != '\n' || rank > HIGHEST_RANK)
        return NULL;
    entry[0] = (byte)rank;
    entry[1] = (byte)(rank >> 8);
    entry[2] = (byte)(rank >> 16);
    entry[3] = (byte)length;
    return at + 1;
}

/* Put the entry at `offset` into the slots. */
static void enter(struct vocabulary *of, size_t offset)
{
    const byte *entry = of->entries + offset;
    uint64_t hash = hash_of(entry + HEAD, entry[3]);
    size_t place = hash & of->slot_mask;

    while (of->slots[place] != 0)
        place = (place + 1) & of->slot_mask;
    of->slots[place] = part_of(hash) | (uint32_t)(offset / ALIGNED);
}

/* Fill `of` from the content of a file; return 0, or -1 with an exception. */
static int read_vocabulary(struct vocabulary *of, const byte *at, size_t size)
{
    const byte *end = at + size;
    /* The entry of a line of 5 characters has 8 bytes, and no other one is longer for its line; a last one, which may be
       cut off, is up to a longest token behind them. */
    size_t room = 2 * size + HEAD + LONGEST_TOKEN + ALIGNED, used = ALIGNED, lines = 0, slots = 4;
    unsigned single_bytes = 0;
    byte *shrunk;

    if ((of->entries = malloc(room)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    while (at < end) {
        if ((at = read_entry(at, end, of->entries + used)) == NULL) {
            PyErr_Format(PyExc_ValueError, "line %zu is not a token and its rank", lines + 1);
            return -1;
        }
        single_bytes += of->entries[used + 3] == 1;
        used += entry_size(of->entries + used);
        lines++;
    }
    if (single_bytes != 256) {
        PyErr_Format(PyExc_ValueError, "%u tokens have one byte; there must be one for each of the 256", single_bytes);
        return -1;
    }
    if (used / ALIGNED > INDEX_MASK) {
        PyErr_SetString(PyExc_ValueError, "the tokens take more than 4 MiB");
        return -1;
    }
    if ((shrunk = realloc(of->entries, used)) != NULL)
        of->entries = shrunk;
    while (slots < 2 * lines)
        slots *= 2;
    of->slot_mask = slots - 1;
    of->slots = calloc(slots, sizeof *of->slots);
    if (of->slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t offset = ALIGNED; offset < used; offset += entry_size(of->entries + offset))
        enter(of, offset);
    return 0;
}

#endif
