/* The patterns of the vocabularies (`vocabulary.py`), written out by hand, alternative by alternative.

   Each function returns the end of what it matches at `at`, which is before `end`. All of them together look at a
   character a few times at most, whatever the text: there is no backtracking but what is said. */

#ifndef BPE_PIECES_H
#define BPE_PIECES_H

#include <stddef.h>

#include "characters.h"

static inline const byte *skip(const byte *at, const byte *end, unsigned set)
{
    unsigned size;

    while (at < end && set >> class_at(at, &size) & 1)
        at += size;
    return at;
}

/* \p{N}{1,3}, of which the first is known to be there */
static const byte *numbers(const byte *at, const byte *end)
{
    unsigned size;

    for (int left = 3; left != 0 && at < end && class_at(at, &size) == NUMBER; left--)
        at += size;
    return at;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d), or `at` itself. The long s is an s in another case. */
static const byte *contraction(const byte *at, const byte *end)
{
    if (end - at < 2 || at[0] != '\'')
        return at;
    switch (at[1] | 0x20) {
    case 's': case 't': case 'm': case 'd':
        return at + 2;
    case 'r': case 'v':
        return end - at > 2 && (at[2] | 0x20) == 'e' ? at + 3 : at;
    case 'l':
        return end - at > 2 && (at[2] | 0x20) == 'l' ? at + 3 : at;
    }
    return end - at > 2 && at[1] == 0xC5 && at[2] == 0xBF ? at + 3 : at;
}

/* ` ?[^\s\p{L}\p{N}]+[\r\n]*`, for o200k with the slash at the end; NULL where it does not match */
static const byte *symbols(const byte *at, const byte *end, int slash)
{
    const byte *first = *at == ' ' ? at + 1 : at;
    const byte *past = skip(first, end, SYMBOLS);

    if (past == first)
        return NULL;
    while (past < end && (*past == '\r' || *past == '\n' || (slash && *past == '/')))
        past++;
    return past;
}

/* What the last alternatives of both patterns make of blanks: up to the last line end among them; without one all of
   them, but the last one is left to the word that follows. `whole_at_end`: cl100k has `\s++$` before them. */
static const byte *blanks(const byte *at, const byte *end, int whole_at_end)
{
    const byte *past = at, *past_line_end = NULL, *last = at;
    unsigned class, size;

    while (past < end && BLANKS >> (class = class_at(past, &size)) & 1) {
        last = past;
        past += size;
        if (class == LINE_END)
            past_line_end = past;
    }
    if (past == end && whole_at_end)
        return past;
    if (past_line_end != NULL)
        return past_line_end;
    return past == end || last == at ? past : last;
}

/* [BEGINS_WORD]*[ENDS_WORD]+, or NULL. Where no lower case follows the first run, it gives back as much as it must: what
   is behind the last character that may also end a word. */
static const byte *word(const byte *at, const byte *end)
{
    const byte *given_back = NULL;
    unsigned class = OTHER, size;

    while (at < end && BEGINS_WORD >> (class = class_at(at, &size)) & 1) {
        at += size;
        if (class != UPPER)
            given_back = at;
    }
    return at < end && class == LOWER ? skip(at, end, ENDS_WORD) : given_back;
}

/* [BEGINS_WORD]+, or NULL: what is left to it has no lower case behind it, or `word` would have matched */
static const byte *capitals(const byte *at, const byte *end)
{
    const byte *past = skip(at, end, BEGINS_WORD);

    return past == at ? NULL : past;
}

static const byte *piece_of_o200k(const byte *at, const byte *end)
{
    unsigned size, class = class_at(at, &size);
    const byte *past = NULL, *behind = BEFORE_WORD >> class & 1 ? at + size : NULL;

    if (class == NUMBER)
        return numbers(at, end);
    if (class == LINE_END)
        return blanks(at, end, 0);
    /* Each alternative with the character before the word, and without; a mark can be either. */
    if (behind != NULL)
        past = word(behind, end);
    if (past == NULL && (behind == NULL || class == MARK))
        past = word(at, end);
    if (past == NULL && behind != NULL)
        past = capitals(behind, end);
    if (past == NULL && behind == NULL)
        past = capitals(at, end);
    if (past != NULL)
        return contraction(past, end);
    past = symbols(at, end, 1);
    return past != NULL ? past : blanks(at, end, 0);
}

static const byte *piece_of_cl100k(const byte *at, const byte *end)
{
    unsigned size, class = class_at(at, &size);
    const byte *first = BEFORE_WORD >> class & 1 ? at + size : at, *past = contraction(at, end);

    if (past != at)
        return past;
    if (class == NUMBER)
        return numbers(at, end);
    past = skip(first, end, LETTERS);
    if (past != first)
        return past;
    past = class == LINE_END ? NULL : symbols(at, end, 0);
    return past != NULL ? past : blanks(at, end, 1);
}

#endif
