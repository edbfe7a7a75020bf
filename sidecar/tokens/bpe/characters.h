/* What a character is to the patterns: one of eight classes, as tiktoken's own library of patterns has them. */

#ifndef BPE_CHARACTERS_H
#define BPE_CHARACTERS_H

#include <stdint.h>
#include <string.h>

typedef unsigned char byte;

/* Letters are UPPER (Lu, Lt), LOWER (Ll) or CASELESS (Lm, Lo). */
enum { OTHER, UPPER, LOWER, CASELESS, MARK, NUMBER, BLANK, LINE_END, CLASSES };

#define SET(class) (1u << (class))
static const unsigned LETTERS = SET(UPPER) | SET(LOWER) | SET(CASELESS);
static const unsigned BEGINS_WORD = SET(UPPER) | SET(CASELESS) | SET(MARK); /* o200k: before the lower case */
static const unsigned ENDS_WORD = SET(LOWER) | SET(CASELESS) | SET(MARK);
static const unsigned SYMBOLS = SET(OTHER) | SET(MARK);
static const unsigned BEFORE_WORD = SET(OTHER) | SET(MARK) | SET(BLANK); /* may stand before a word, as part of it */
static const unsigned BLANKS = SET(BLANK) | SET(LINE_END);

/* First code point and class of each run of the same class, in order. */
static const struct {
    uint32_t first;
    byte class;
} RUNS[] = {
#include "classes.h"
};

enum {
    CODE_POINTS = 0x110000,
    BLOCK = 128,       /* code points, so that ASCII is the first one */
    MOST_BLOCKS = 1024 /* with more than one class in them; Unicode 16 has half as many */
};

static uint16_t block_of[CODE_POINTS / BLOCK];
static byte blocks[CLASSES + MOST_BLOCKS][BLOCK]; /* first those of one class only */

/* Fill the two tables from RUNS; return 0, or -1 where MOST_BLOCKS is too low. */
static int make_classes(void)
{
    const size_t count = sizeof RUNS / sizeof RUNS[0];
    size_t run = 0;
    unsigned used = CLASSES;

    for (unsigned class = 0; class < CLASSES; class++)
        memset(blocks[class], (int)class, BLOCK);
    for (uint32_t first = 0; first < CODE_POINTS; first += BLOCK) {
        while (run + 1 < count && RUNS[run + 1].first <= first)
            run++;
        if (run + 1 == count || RUNS[run + 1].first >= first + BLOCK) {
            block_of[first / BLOCK] = RUNS[run].class;
            continue;
        }
        if (used == CLASSES + MOST_BLOCKS)
            return -1;
        for (uint32_t at = 0; at < BLOCK; at++) {
            if (run + 1 < count && RUNS[run + 1].first <= first + at)
                run++;
            blocks[used][at] = RUNS[run].class;
        }
        block_of[first / BLOCK] = (uint16_t)used++;
    }
    return 0;
}

/* Return the class of the character at `at`, and how many bytes it has. The text is what Python made: valid UTF-8. */
static inline unsigned class_at(const byte *at, unsigned *size)
{
    uint32_t point = at[0];

    if (point < 0x80) {
        *size = 1;
        return blocks[CLASSES][point]; /* ASCII has more than one class, so it is the first block behind them */
    }
    if (point < 0xE0) {
        *size = 2;
        point = (point & 0x1F) << 6 | (at[1] & 0x3F);
    } else if (point < 0xF0) {
        *size = 3;
        point = (point & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
    } else {
        *size = 4;
        point = (point & 0x07) << 18 | (uint32_t)(at[1] & 0x3F) << 12 | (uint32_t)(at[2] & 0x3F) << 6 | (at[3] & 0x3F);
    }
    return blocks[block_of[point / BLOCK]][point % BLOCK];
}

#endif
