/* A vocabulary in memory: which bytes are a token, and of which rank.

   Two blocks that never grow. In `entries` stand the tokens, one after the other, each with its rank and its length before
   it; `slots` is a hash table of places there, at most half full. For o200k_base that is 2.4 and 2.1 MB. */

#ifndef BPE_RANKS_H
#define BPE_RANKS_H

#include <stdint.h>
#include <string.h>

#include "characters.h"

enum {
    HEAD = 4,              /* of an entry: three bytes of its rank, one of its length */
    ALIGNED = 4,           /* entries begin at multiples of this */
    INDEX_BITS = 20,       /* of a slot: the place of the entry, in units of ALIGNED; the rest is a part of the hash */
    LONGEST_TOKEN = 255,
    HIGHEST_RANK = 0xFFFFFF
};
static const uint32_t INDEX_MASK = ((uint32_t)1 << INDEX_BITS) - 1;
static const uint32_t NO_TOKEN = UINT32_MAX;

struct vocabulary {
    byte *entries;   /* the first one at ALIGNED, so that no slot with one in it is 0 */
    uint32_t *slots; /* 0 is none */
    size_t slot_mask;
};

/* Return the room that an entry takes. */
static inline size_t entry_size(const byte *entry)
{
    return (HEAD + (size_t)entry[3] + ALIGNED - 1) / ALIGNED * ALIGNED;
}

static inline uint64_t eight(const byte *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t four(const byte *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t mixed(uint64_t a, uint64_t b)
{
    uint64_t hash = (a ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;

    hash = ((hash ^ hash >> 32) + b) * 0xA0761D6478BD642Fu;
    return hash ^ hash >> 29;
}

static inline uint64_t hash_of(const byte *at, size_t size)
{
    if (size >= 8) {
        uint64_t hash = size;
        size_t done = 0;

        for (; size - done > 16; done += 8)
            hash = mixed(hash, eight(at + done));
        return mixed(hash ^ eight(at + done), eight(at + size - 8));
    }
    if (size >= 4)
        return mixed(size ^ four(at) << 8, four(at + size - 4));
    return mixed(size, at[0] | (uint64_t)at[size / 2] << 8 | (uint64_t)at[size - 1] << 16);
}

/* The part of a hash that stands in a slot: other bits than those that choose the slot. */
static inline uint32_t part_of(uint64_t hash)
{
    return (uint32_t)(hash >> (64 - (32 - INDEX_BITS))) << INDEX_BITS;
}

/* Return the rank of a token, or NO_TOKEN. */
static inline uint32_t rank_of(const struct vocabulary *of, const byte *at, size_t size)
{
    uint64_t hash;
    uint32_t part, slot;

    if (size > LONGEST_TOKEN)
        return NO_TOKEN;
    hash = hash_of(at, size);
    part = part_of(hash);
    for (size_t place = hash & of->slot_mask; (slot = of->slots[place]) != 0; place = (place + 1) & of->slot_mask) {
        if ((slot & ~INDEX_MASK) == part) {
            const byte *entry = of->entries + (size_t)(slot & INDEX_MASK) * ALIGNED;

            if (entry[3] == size && memcmp(entry + HEAD, at, size) == 0)
                return entry[0] | (uint32_t)entry[1] << 8 | (uint32_t)entry[2] << 16;
        }
    }
    return NO_TOKEN;
}

#endif
