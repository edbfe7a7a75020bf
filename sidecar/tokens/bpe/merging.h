/* How many tokens a piece has that is none itself: its bytes are merged, of all neighbours those that are the token of
   the lowest rank first, of equal ones the first. */

#ifndef BPE_MERGING_H
#define BPE_MERGING_H

#include <stdlib.h>

#include "ranks.h"

enum { SHORT = 64 /* bytes: up to here looking through all pairs is faster than a heap */ };

static Py_ssize_t merge_short(const struct vocabulary *of, const byte *at, size_t size)
{
    byte start[SHORT + 1];  /* of each part, and where the last one ends */
    uint32_t rank[SHORT];   /* of what a part would be with the next one */
    size_t parts = size;

    for (size_t i = 0; i < size; i++) {
        start[i] = (byte)i;
        rank[i] = i + 1 < size ? rank_of(of, at + i, 2) : NO_TOKEN;
    }
    start[size] = (byte)size;
    for (;;) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < parts; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_TOKEN)
            return (Py_ssize_t)parts;
        memmove(start + best + 1, start + best + 2, parts - best - 1);
        memmove(rank + best + 1, rank + best + 2, (parts - best - 2) * sizeof *rank);
        parts--;
        rank[best] = best + 1 < parts ? rank_of(of, at + start[best], start[best + 2] - start[best]) : NO_TOKEN;
        if (best > 0)
            rank[best - 1] = rank_of(of, at + start[best - 1], start[best + 1] - start[best - 1]);
    }
}

/* A pair that can be merged: its rank, and where it begins, so that of equal ranks the first one is the least. */
struct heap {
    uint64_t *pairs;
    size_t count, room;
};

static void sift_down(struct heap *heap, size_t place)
{
    uint64_t pair = heap->pairs[place];

    for (size_t child; (child = 2 * place + 1) < heap->count; place = child) {
        if (child + 1 < heap->count && heap->pairs[child + 1] < heap->pairs[child])
            child++;
        if (pair <= heap->pairs[child])
            break;
        heap->pairs[place] = heap->pairs[child];
    }
    heap->pairs[place] = pair;
}

static uint64_t pop(struct heap *heap)
{
    uint64_t least = heap->pairs[0];

    heap->pairs[0] = heap->pairs[--heap->count];
    if (heap->count != 0)
        sift_down(heap, 0);
    return least;
}

/* Return 0, or -1 where there is no memory. */
static int push(struct heap *heap, uint64_t pair)
{
    size_t place = heap->count;

    if (heap->count == heap->room) {
        size_t room = 2 * heap->room;
        uint64_t *pairs = realloc(heap->pairs, room * sizeof *pairs);

        if (pairs == NULL)
            return -1;
        heap->pairs = pairs;
        heap->room = room;
    }
    for (heap->count++; place != 0 && pair < heap->pairs[(place - 1) / 2]; place = (place - 1) / 2)
        heap->pairs[place] = heap->pairs[(place - 1) / 2];
    heap->pairs[place] = pair;
    return 0;
}

/* The parts of a long piece, under the positions where they begin. */
struct parts {
    uint32_t *next, *previous; /* where the neighbours begin; behind the last one stands `size` */
    uint32_t *rank;            /* of what the part would be with the next one */
};

/* Note the rank that the part at `here` has with the next one; return 0, or -1 where there is no memory. */
static int look_at(const struct vocabulary *of, const byte *at, uint32_t size, struct parts *parts, struct heap *heap,
                   uint32_t here)
{
    uint32_t next = parts->next[here];

    parts->rank[here] = next == size ? NO_TOKEN : rank_of(of, at + here, parts->next[next] - here);
    return parts->rank[here] == NO_TOKEN ? 0 : push(heap, (uint64_t)parts->rank[here] << 32 | here);
}

/* Return the tokens, or -1 where there is no memory. */
static Py_ssize_t merge_with_heap(const struct vocabulary *of, const byte *at, uint32_t size, struct parts *parts,
                                  struct heap *heap)
{
    Py_ssize_t count = size;

    for (uint32_t here = 0; here < size; here++) {
        parts->next[here] = here + 1;
        parts->previous[here] = here - 1;
        parts->rank[here] = here + 1 < size ? rank_of(of, at + here, 2) : NO_TOKEN;
        if (parts->rank[here] != NO_TOKEN)
            heap->pairs[heap->count++] = (uint64_t)parts->rank[here] << 32 | here;
    }
    for (size_t place = heap->count / 2; place-- != 0;)
        sift_down(heap, place);
    while (heap->count != 0) {
        uint64_t pair = pop(heap);
        uint32_t here = (uint32_t)pair, gone;

        if (parts->rank[here] != pair >> 32)
            continue; /* one of the two has been merged with another part meanwhile */
        gone = parts->next[here];
        parts->next[here] = parts->next[gone];
        parts->rank[gone] = NO_TOKEN;
        if (parts->next[here] != size)
            parts->previous[parts->next[here]] = here;
        count--;
        if (look_at(of, at, size, parts, heap, here) < 0
            || (here != 0 && look_at(of, at, size, parts, heap, parts->previous[here]) < 0))
            return -1;
    }
    return count;
}

static Py_ssize_t merge_long(const struct vocabulary *of, const byte *at, uint32_t size)
{
    uint32_t *room = malloc(3 * (size_t)size * sizeof *room);
    struct parts parts = {room, room + size, room + 2 * (size_t)size};
    struct heap heap = {malloc((size_t)size * sizeof *heap.pairs), 0, size};
    Py_ssize_t count = room == NULL || heap.pairs == NULL ? -1 : merge_with_heap(of, at, size, &parts, &heap);

    free(heap.pairs);
    free(room);
    return count;
}

static Py_ssize_t merge(const struct vocabulary *of, const byte *at, size_t size)
{
    return size <= SHORT ? merge_short(of, at, size) : merge_long(of, at, (uint32_t)size);
}

#endif
