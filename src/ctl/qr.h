/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * qr - a QR code as text. Drawing is pure; encoding loads libqrencode at run
 * time, because linking it costs every start of this program a seventh of
 * /bin/true (two more libraries), and only `login` on a terminal draws.
 */
#include <stdbool.h>
#include <stddef.h>

struct qr {
	int width;              /* modules per side */
	unsigned char *modules; /* width * width, bit 0: dark. Owned */
};

#define QR_INIT { 0, NULL }

enum qr_style {
	QR_HALF_BLOCKS, /* UTF-8: one column and half a line per module */
	QR_ASCII,       /* two columns and one line per module */
};

struct qr_look {
	enum qr_style style;
	bool colour; /* black on white by escape sequences; without, it is
	              * drawn for light text on a dark ground */
	int quiet;   /* modules of light margin on each side */
};

/* False: the library is missing, or the text is too long for a code. */
bool qr_encode(const char *text, struct qr *out);
void qr_clear(struct qr *q);

size_t qr_columns(const struct qr *q, const struct qr_look *look);
size_t qr_lines(const struct qr *q, const struct qr_look *look);

struct strbuf;
/* Line i of qr_lines(), without a line end. */
void qr_add_line(struct strbuf *b, const struct qr *q,
    const struct qr_look *look, size_t i);
