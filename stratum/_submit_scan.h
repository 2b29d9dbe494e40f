/* The reading of a plain mining.submit line, for _submit_scan.c and for C that goes on from there. */
#ifndef PARAPOOL_SUBMIT_SCAN_H
#define PARAPOOL_SUBMIT_SCAN_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#define ID_DIGITS 18
#define STRINGS 6
#define EXTRANONCE2_LIMIT 16

typedef struct {
    const char *at, *end;
} Cursor;

typedef struct {
    const char *start;
    Py_ssize_t size;
} Piece;

static void skip_blanks(Cursor *c) {
    while (c->at < c->end && *c->at == ' ') c->at++;
}

/* One byte after blanks. */
static int take(Cursor *c, char wanted) {
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted) return 0;
    c->at++;
    return 1;
}

static int take_string(Cursor *c, Piece *piece) {
    if (!take(c, '"')) return 0;
    piece->start = c->at;
    for (; c->at < c->end; c->at++) {
        unsigned char letter = (unsigned char)*c->at;
        if (letter == '"') {
            piece->size = c->at++ - piece->start;
            return 1;
        }
        if (letter < 0x20 || letter > 0x7E || letter == '\\') return 0;
    }
    return 0;
}

static int take_id(Cursor *c, Piece *piece) {
    skip_blanks(c);
    piece->start = c->at;
    if (c->end - c->at >= 4 && !memcmp(c->at, "null", 4)) {
        c->at += 4;
    } else {
        while (c->at < c->end && *c->at >= '0' && *c->at <= '9') c->at++;
        Py_ssize_t digits = c->at - piece->start;
        if (digits < 1 || digits > ID_DIGITS || (digits > 1 && *piece->start == '0')) return 0;
    }
    piece->size = c->at - piece->start;
    return 1;
}

static int is(const Piece *piece, const char *text) {
    return (size_t)piece->size == strlen(text) && !memcmp(piece->start, text, (size_t)piece->size);
}

static int digit_of(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    letter |= 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static int hex_bytes(const Piece *piece, uint8_t *out) {
    for (Py_ssize_t i = 0; i < piece->size / 2; i++) {
        int high = digit_of(piece->start[2 * i]), low = digit_of(piece->start[2 * i + 1]);
        if (high < 0 || low < 0) return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

static int hex_word(const Piece *piece, unsigned long *word) {
    uint8_t bytes[4];
    if (piece->size != 8 || !hex_bytes(piece, bytes)) return 0;
    *word = (unsigned long)bytes[0] << 24 | (unsigned long)bytes[1] << 16 | (unsigned long)bytes[2] << 8 | bytes[3];
    return 1;
}

/* The object's three members; the number of parameters, or 0 for a line that is not plain. */
static int read_line(Cursor *c, Piece *id, Piece params[STRINGS]) {
    int seen = 0, count = 0;
    if (!take(c, '{')) return 0;
    for (int member = 0; member < 3; member++) {
        Piece key, method;
        int which;
        if ((member && !take(c, ',')) || !take_string(c, &key) || !take(c, ':')) return 0;
        if (is(&key, "id")) {
            which = 1;
            if (!take_id(c, id)) return 0;
        } else if (is(&key, "method")) {
            which = 2;
            if (!take_string(c, &method) || !is(&method, "mining.submit")) return 0;
        } else if (is(&key, "params")) {
            which = 4;
            if (!take(c, '[')) return 0;
            for (count = 0; count < STRINGS; count++) {
                if (count && !take(c, ',')) break;
                if (!take_string(c, &params[count])) return 0;
            }
            if (!take(c, ']')) return 0;
        } else {
            return 0;
        }
        if (seen & which) return 0;
        seen |= which;
    }
    if (!take(c, '}')) return 0;
    skip_blanks(c);
    return c->at == c->end && count >= STRINGS - 1 ? count : 0;
}

/* A plain and well-formed submission; the pieces point into the line. */
typedef struct {
    Piece id, worker, job_id;
    uint8_t extranonce2[EXTRANONCE2_LIMIT];
    Py_ssize_t extranonce2_size;
    unsigned long time, nonce, version_bits;
    int has_version_bits;
} PlainSubmit;

/* What a line is. Of all but the first, id, worker and job_id are set. */
enum { NO_SUBMIT, PLAIN, WRONG_LENGTH, WRONG_WORDS, WRONG_HEX, WRONG_VERSION };

/* PLAIN; a submission that is wrong in the way that submission.py would find first; or NO_SUBMIT for what is left to
 * Python. */
static int read_submit(const char *line, Py_ssize_t size, Py_ssize_t digits, PlainSubmit *submit) {
    Piece params[STRINGS];
    Cursor cursor = {line, line + size};
    int count = read_line(&cursor, &submit->id, params);
    submit->version_bits = 0;
    if (!count || digits < 0 || digits % 2 || digits > 2 * EXTRANONCE2_LIMIT) return NO_SUBMIT;
    submit->worker = params[0];
    submit->job_id = params[1];
    submit->extranonce2_size = digits / 2;
    submit->has_version_bits = count == STRINGS;
    if (params[2].size != digits) return WRONG_LENGTH;
    if (params[3].size != 8 || params[4].size != 8) return WRONG_WORDS;
    if (!hex_bytes(&params[2], submit->extranonce2) || !hex_word(&params[3], &submit->time) ||
        !hex_word(&params[4], &submit->nonce))
        return WRONG_HEX;
    if (count == STRINGS && !hex_word(&params[5], &submit->version_bits)) return WRONG_VERSION;
    return PLAIN;
}

/* The job's id as it is looked up: in small letters. NULL with an exception. */
static PyObject *job_id_of(const Piece *piece) {
    PyObject *text = PyUnicode_New(piece->size, 127);
    if (text == NULL || !piece->size) return text; /* the empty string is shared and has no room to write to */
    Py_UCS1 *letters = PyUnicode_1BYTE_DATA(text);
    for (Py_ssize_t i = 0; i < piece->size; i++) {
        char letter = piece->start[i];
        letters[i] = (Py_UCS1)(letter >= 'A' && letter <= 'Z' ? letter | 0x20 : letter);
    }
    return text;
}

#endif
