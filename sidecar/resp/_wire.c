/* The functions of `wire.py` once more, for machines where they could be compiled; their rules are explained there.

   No state: what they do not understand at once, they leave to the framer in Python. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

enum {
    COUNT_DIGITS = 10,       /* as START in wire.py */
    LENGTH_DIGITS = 18,      /* as BULK there; they fit into 64 bits */
    LONGEST_WATCHED_NAME = 16
};

/* Read `sign`, a number without leading zeros, CR LF. Return what follows it, or NULL. */
static const char *read_line(const char *at, const char *end, char sign, int most_digits, unsigned long long *number)
{
    unsigned long long value = 0;
    int digits = 0;

    if (at == end || *at++ != sign)
        return NULL;
    for (; at != end && *at >= '0' && *at <= '9'; at++) {
        if (++digits > most_digits || (digits == 2 && value == 0))
            return NULL;
        value = 10 * value + (unsigned)(*at - '0');
    }
    if (digits == 0 || end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return NULL;
    *number = value;
    return at + 2;
}

/* Return what follows a bulk and the two bytes after it, or NULL where they are not all here. */
static const char *pass_bulk(const char *at, const char *end, unsigned long long length)
{
    size_t rest = (size_t)(end - at);

    return rest < 2 || length > rest - 2 ? NULL : at + length + 2;
}

/* Tell whether `name` is watched: 1 or 0, or -1 with an exception. */
static int is_watched(PyObject *watched, const char *name, size_t length)
{
    char upper[LONGEST_WATCHED_NAME];
    PyObject *key;
    int found;

    for (size_t i = 0; i < length; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - ('a' - 'A')) : name[i];
    key = PyBytes_FromStringAndSize(upper, (Py_ssize_t)length);
    if (key == NULL)
        return -1;
    found = PySet_Contains(watched, key);
    Py_DECREF(key);
    return found;
}

static PyObject *pass_whole(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    char *start;
    Py_ssize_t size, position;
    const char *at, *end, *last_name = NULL;
    unsigned long long last_length = 0;

    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "pass_whole takes the data, a position in it, and the watched names");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &start, &size) < 0)
        return NULL;
    position = PyLong_AsSsize_t(arguments[1]);
    if (position == -1 && PyErr_Occurred())
        return NULL;
    if (position < 0 || position > size) {
        PyErr_SetString(PyExc_ValueError, "the position lies outside of the data");
        return NULL;
    }
    at = start + position;
    end = start + size;
    for (;;) {
        unsigned long long items, length;
        const char *next = read_line(at, end, '*', COUNT_DIGITS, &items);

        if (next == NULL || items == 0 || (next = read_line(next, end, '$', LENGTH_DIGITS, &length)) == NULL)
            break;
        const char *name = next;
        if ((next = pass_bulk(name, end, length)) == NULL)
            break;
        /* Neighbours in a pipeline often have the same name, and the set need not be asked again. */
        if (length <= LONGEST_WATCHED_NAME
            && !(last_name != NULL && length == last_length && memcmp(name, last_name, (size_t)length) == 0)) {
            int watched = is_watched(arguments[2], name, (size_t)length);
            if (watched < 0)
                return NULL;
            if (watched)
                break;
            last_name = name;
            last_length = length;
        }
        while (--items != 0) {
            if ((next = read_line(next, end, '$', LENGTH_DIGITS, &length)) == NULL
                || (next = pass_bulk(next, end, length)) == NULL)
                break;
        }
        if (next == NULL)
            break;
        at = next;
    }
    return PyLong_FromSsize_t(at - start);
}

/* Make the words of the request that begins at `at` and is known to be whole. */
static PyObject *words_of(const char *at, unsigned long long count)
{
    const char *end = at + (PY_SSIZE_T_MAX >> 1); /* never reached */
    PyObject *words = PyList_New((Py_ssize_t)count);
    unsigned long long length;

    for (Py_ssize_t i = 0; words != NULL && i < (Py_ssize_t)count; i++) {
        PyObject *word;

        at = read_line(at, end, '$', LENGTH_DIGITS, &length);
        word = PyBytes_FromStringAndSize(at, (Py_ssize_t)length);
        if (word == NULL || PyList_SetItem(words, i, word) < 0)
            Py_CLEAR(words);
        at += length + 2;
    }
    return words;
}

static PyObject *whole_request(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    char *start;
    Py_ssize_t size, position, most;
    const char *at, *end, *first;
    unsigned long long items, length;
    PyObject *words;

    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "whole_request takes the data, a position in it, and the most words");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &start, &size) < 0)
        return NULL;
    position = PyLong_AsSsize_t(arguments[1]);
    most = PyLong_AsSsize_t(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    if (position < 0 || position > size) {
        PyErr_SetString(PyExc_ValueError, "the position lies outside of the data");
        return NULL;
    }
    end = start + size;
    first = read_line(start + position, end, '*', COUNT_DIGITS, &items);
    if (first == NULL || items == 0 || most < 0 || items > (unsigned long long)most)
        Py_RETURN_NONE;
    at = first;
    for (unsigned long long left = items; left != 0; left--) {
        if ((at = read_line(at, end, '$', LENGTH_DIGITS, &length)) == NULL
            || (at = pass_bulk(at, end, length)) == NULL)
            Py_RETURN_NONE;
    }
    words = words_of(first, items);
    return words == NULL ? NULL : Py_BuildValue("(nN)", (Py_ssize_t)(at - start), words);
}

enum { DIGITS_OF_A_LENGTH = 20 };

/* Write a number's digits before `end` and return where they begin. printf takes fifty times as long. */
static char *write_digits(char *end, unsigned long long number)
{
    do {
        *--end = (char)('0' + number % 10);
    } while ((number /= 10) != 0);
    return end;
}

static char *write_line(char *to, char sign, Py_ssize_t number)
{
    char digits[DIGITS_OF_A_LENGTH], *end = digits + DIGITS_OF_A_LENGTH;
    const char *first = write_digits(end, (unsigned long long)number);
    size_t length = (size_t)(end - first);

    *to++ = sign;
    memcpy(to, first, length);
    to += length;
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

/* One word to be sent: its bytes, which live as long as the word does; those of a number are in `digits`. */
struct word {
    const char *bytes;
    Py_ssize_t size;
    char digits[DIGITS_OF_A_LENGTH + 1];
};

/* Find the bytes of a word: its own, its UTF-8, or its digits. Return 0, or -1 with an exception. */
static int read_word(PyObject *object, struct word *word)
{
    char *bytes;

    if (PyUnicode_Check(object)) {
        word->bytes = PyUnicode_AsUTF8AndSize(object, &word->size);
        return word->bytes == NULL ? -1 : 0;
    }
    if (PyLong_CheckExact(object)) {
        long long number = PyLong_AsLongLong(object);
        char *end = word->digits + sizeof word->digits, *first;

        if (number == -1 && PyErr_Occurred())
            return -1;
        first = write_digits(end, number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number);
        if (number < 0)
            *--first = '-';
        word->bytes = first;
        word->size = end - first;
        return 0;
    }
    if (PyBytes_AsStringAndSize(object, &bytes, &word->size) < 0)
        return -1;
    word->bytes = bytes;
    return 0;
}

static PyObject *packed_words(const struct word *words, Py_ssize_t count, Py_ssize_t most)
{
    PyObject *packed;
    char *buffer = PyMem_Malloc((size_t)most), *to;

    if (buffer == NULL)
        return PyErr_NoMemory();
    to = write_line(buffer, '*', count);
    for (const struct word *word = words; word != words + count; word++) {
        to = write_line(to, '$', word->size);
        memcpy(to, word->bytes, (size_t)word->size);
        to += word->size;
        *to++ = '\r';
        *to++ = '\n';
    }
    packed = PyBytes_FromStringAndSize(buffer, to - buffer);
    PyMem_Free(buffer);
    return packed;
}

static PyObject *pack(PyObject *module, PyObject *tuple)
{
    Py_ssize_t count, most = DIGITS_OF_A_LENGTH + 3;
    struct word *words;
    PyObject *packed = NULL;

    (void)module;
    if (!PyTuple_Check(tuple)) {
        PyErr_SetString(PyExc_TypeError, "pack takes a tuple of words");
        return NULL;
    }
    count = PyTuple_Size(tuple);
    if ((words = PyMem_Malloc(((size_t)count + 1) * sizeof *words)) == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (read_word(PyTuple_GetItem(tuple, i), &words[i]) < 0)
            goto done;
        most += DIGITS_OF_A_LENGTH + 3 + words[i].size + 2;
    }
    packed = packed_words(words, count, most);
done:
    PyMem_Free(words);
    return packed;
}

static PyMethodDef functions[] = {
    {"pass_whole", (PyCFunction)(void (*)(void))pass_whole, METH_FASTCALL, NULL},
    {"whole_request", (PyCFunction)(void (*)(void))whole_request, METH_FASTCALL, NULL},
    {"pack", pack, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_wire", .m_size = 0, .m_methods = functions, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__wire(void)
{
    return PyModuleDef_Init(&module);
}
