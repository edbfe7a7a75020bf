/* The counts of words that had to be merged: a table of fixed size, in which a word displaces the one in its place.

   What agents write about comes again and again, and is often no token: names, numbers of orders, words of a trade. To
   find such a word here takes a tenth of the time of merging it. Only under the GIL. */

#ifndef BPE_KEPT_H
#define BPE_KEPT_H

#include "merging.h"

enum {
    LONGEST_KEPT = 15, /* bytes */
    KEPT_BITS = 13     /* 8,192 words, in 140 kB */
};

struct kept {
    struct {
        uint64_t first, last; /* the bytes of the word, and its length in the very last one, so that all of 0 is none */
    } words[1 << KEPT_BITS];
    byte counts[1 << KEPT_BITS];
};

/* Return the tokens of a piece that is none itself, or -1 where there is no memory. */
static Py_ssize_t merge_or_find(const struct vocabulary *of, struct kept *kept, const byte *at, size_t size)
{
    byte word[LONGEST_KEPT + 1] = {0};
    uint64_t first, last;
    size_t place;

    if (size > LONGEST_KEPT)
        return merge(of, at, size);
    memcpy(word, at, size);
    word[LONGEST_KEPT] = (byte)size;
    first = eight(word);
    last = eight(word + 8);
    place = mixed(first, last) >> (64 - KEPT_BITS);
    if (kept->words[place].first != first || kept->words[place].last != last) {
        kept->counts[place] = (byte)merge(of, at, size); /* it is short: never without memory */
        kept->words[place].first = first;
        kept->words[place].last = last;
    }
    return kept->counts[place];
}

#endif
