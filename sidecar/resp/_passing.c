/* The loop of `passing.py` once more, for machines where it could be compiled; its rules are explained there.

   One function without state: what it does not understand at once, it leaves to the framer in Python. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

enum {
    COUNT_DIGITS = 10,       /* as START in passing.py */
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

static PyMethodDef functions[] = {
    {"pass_whole", (PyCFunction)(void (*)(void))pass_whole, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_passing", .m_size = 0, .m_methods = functions, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__passing(void)
{
    return PyModuleDef_Init(&module);
}
