/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qr - see the header. Level L: the code is read from a screen, undamaged, and
 * the fewest modules are the easiest to catch with a phone.
 */
#include "ctl/qr.h"

#include <dlfcn.h>
#include <qrencode.h>

#include "base/strbuf.h"

#define LIBRARY "libqrencode.so.4"

typedef QRcode *encode_fn(const char *, int, QRecLevel, QRencodeMode, int);
typedef void free_fn(QRcode *);

bool
qr_encode(const char *text, struct qr *out)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	encode_fn *encode;
	free_fn *release;
	QRcode *code = NULL;
	size_t n;

	qr_clear(out);
	if (!lib)
		return false;
	encode = (encode_fn *)dlsym(lib, "QRcode_encodeString");
	release = (free_fn *)dlsym(lib, "QRcode_free");
	if (encode && release)
		code = encode(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
	if (code) {
		n = (size_t)code->width * (size_t)code->width;
		out->width = code->width;
		out->modules = xcalloc(n, 1);
		memcpy(out->modules, code->data, n);
		release(code);
	}
	dlclose(lib);
	return out->modules != NULL;
}

void
qr_clear(struct qr *q)
{
	free(q->modules);
	*q = (struct qr)QR_INIT;
}

static int
side(const struct qr *q, const struct qr_look *look)
{
	return q->width + 2 * look->quiet;
}

size_t
qr_columns(const struct qr *q, const struct qr_look *look)
{
	return (size_t)side(q, look) * (look->style == QR_ASCII ? 2 : 1);
}

size_t
qr_lines(const struct qr *q, const struct qr_look *look)
{
	size_t n = (size_t)side(q, look);

	return look->style == QR_ASCII ? n : (n + 1) / 2;
}

/* Coordinates count from the margin's corner; outside of all is dark, like
 * the screen: the lower half of an odd last line. */
static bool
is_dark(const struct qr *q, const struct qr_look *look, int x, int y)
{
	if (y >= side(q, look))
		return !look->colour;
	x -= look->quiet;
	y -= look->quiet;
	if (x < 0 || y < 0 || x >= q->width || y >= q->width)
		return false;
	return q->modules[y * q->width + x] & 1;
}

/* With colour the ink is black on white; without it, the ink is the light. */
static void
add_half_blocks(struct strbuf *b, const struct qr *q,
    const struct qr_look *look, int y)
{
	static const char *const ink[] = { " ", "\u2584", "\u2580", "\u2588" };
	unsigned upper, lower;
	int x;

	for (x = 0; x < side(q, look); x++) {
		upper = is_dark(q, look, x, y) == look->colour;
		lower = is_dark(q, look, x, y + 1) == look->colour;
		strbuf_adds(b, ink[upper << 1 | lower]);
	}
}

static void
add_ascii(struct strbuf *b, const struct qr *q, const struct qr_look *look,
    int y)
{
	int x;

	for (x = 0; x < side(q, look); x++)
		strbuf_adds(b, is_dark(q, look, x, y) == look->colour ? "##" :
		    "  ");
}

void
qr_add_line(struct strbuf *b, const struct qr *q, const struct qr_look *look,
    size_t i)
{
	/* Black on bright white, where 16 colours are known, else on white. */
	if (look->colour)
		strbuf_adds(b, "\033[30;47;107m");
	if (look->style == QR_ASCII)
		add_ascii(b, q, look, (int)i);
	else
		add_half_blocks(b, q, look, 2 * (int)i);
	if (look->colour)
		strbuf_adds(b, "\033[0m");
}
