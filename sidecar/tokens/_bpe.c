/* Exact token counts by the vocabularies of `vocabulary.py`, in a tenth of the memory that other engines take for them.

   As tiktoken defines it, in two steps. A text is cut into pieces by the pattern of the vocabulary (`bpe/pieces.h`). A
   piece that is a token (`bpe/ranks.h`) counts as one; of any other one the bytes are merged (`bpe/merging.h`), or its
   count is still known (`bpe/kept.h`). The tokens themselves are never made. The counterpart in Python is `native.py`. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bpe/characters.h"
#include "bpe/kept.h"
#include "bpe/merging.h"
#include "bpe/pieces.h"
#include "bpe/ranks.h"
#include "bpe/reading.h"

enum { WITHOUT_GIL = 32 * 1024 /* bytes: as one endless word, the worst case, this takes 15 ms */ };

typedef const byte *(*Pattern)(const byte *at, const byte *end);

struct object {
    PyObject_HEAD
    struct vocabulary vocabulary;
    struct kept *kept;
    Pattern piece;
};

/* Return the tokens of a text, or -1 where there is no memory. `kept` is NULL without the GIL. */
static Py_ssize_t tokens_of(const struct vocabulary *of, Pattern piece, struct kept *kept, const byte *at, size_t size)
{
    const byte *end = at + size;
    Py_ssize_t count = 0;

    while (at < end) {
        const byte *past = piece(at, end);
        size_t length = (size_t)(past - at);
        Py_ssize_t tokens = 1;

        if (length > 1 && rank_of(of, at, length) == NO_TOKEN)
            tokens = kept != NULL ? merge_or_find(of, kept, at, length) : merge(of, at, length);
        if (tokens < 0)
            return -1;
        count += tokens;
        at = past;
    }
    return count;
}

static PyObject *count(PyObject *object, PyObject *text)
{
    const struct object *self = (struct object *)object;
    Py_ssize_t size, tokens;
    const char *bytes;

    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "count takes a text");
        return NULL;
    }
    if ((bytes = PyUnicode_AsUTF8AndSize(text, &size)) == NULL)
        return NULL;
    if ((uint64_t)size >= UINT32_MAX) { /* positions in an endless word have 32 bits */
        PyErr_SetString(PyExc_ValueError, "the text has 4 GiB or more");
        return NULL;
    }
    if (size < WITHOUT_GIL) {
        tokens = tokens_of(&self->vocabulary, self->piece, self->kept, (const byte *)bytes, (size_t)size);
    } else {
        Py_BEGIN_ALLOW_THREADS
        tokens = tokens_of(&self->vocabulary, self->piece, NULL, (const byte *)bytes, (size_t)size);
        Py_END_ALLOW_THREADS
    }
    return tokens < 0 ? PyErr_NoMemory() : PyLong_FromSsize_t(tokens);
}

static Pattern pattern_of(const char *encoding)
{
    if (strcmp(encoding, "o200k_base") == 0)
        return piece_of_o200k;
    return strcmp(encoding, "cl100k_base") == 0 ? piece_of_cl100k : NULL;
}

/* Vocabulary(content of the file, name of the encoding) */
static PyObject *new_vocabulary(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    const char *content, *encoding;
    Py_ssize_t size;
    struct object *self;
    Pattern piece;

    if (keywords != NULL && PyDict_Size(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "Vocabulary takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "y#s:Vocabulary", &content, &size, &encoding))
        return NULL;
    if ((piece = pattern_of(encoding)) == NULL)
        return PyErr_Format(PyExc_ValueError, "there is no pattern for '%s'", encoding);
    self = (struct object *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0); /* all of it is 0 */
    if (self == NULL)
        return NULL;
    self->piece = piece;
    self->kept = calloc(1, sizeof *self->kept);
    if (self->kept == NULL)
        PyErr_NoMemory();
    if (self->kept == NULL || read_vocabulary(&self->vocabulary, (const byte *)content, (size_t)size) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void free_vocabulary(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    struct object *self = (struct object *)object;

    free(self->vocabulary.entries);
    free(self->vocabulary.slots);
    free(self->kept);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"count", count, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_new, new_vocabulary},
    {Py_tp_dealloc, free_vocabulary},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec type_spec = {
    .name = "sidecar.tokens._bpe.Vocabulary",
    .basicsize = sizeof(struct object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = type_slots,
};

static int execute(PyObject *module)
{
    PyObject *type;
    int failed;

    if (make_classes() < 0) {
        PyErr_SetString(PyExc_SystemError, "MOST_BLOCKS in bpe/characters.h is too low for bpe/classes.h");
        return -1;
    }
    if ((type = PyType_FromModuleAndSpec(module, &type_spec, NULL)) == NULL)
        return -1;
    failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}

static struct PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_bpe", .m_size = 0, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__bpe(void)
{
    return PyModuleDef_Init(&module);
}
