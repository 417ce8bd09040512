/* The byte-level alphabet: GPT-2 writes every byte as a printable character, so that a
 * vocabulary of any bytes is a vocabulary of strings. Printable ASCII and Latin-1 stand for
 * themselves, the 68 others take U+0100 up in order. */
#include "text/tok.h"

#include <string.h>

static bool plain(int c)
{
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

int32_t slm_byte_char(uint8_t b)
{
    if (plain(b))
        return b;
    if (b <= 0x20)
        return 0x100 + b;
    if (b <= 0xA0)
        return 0x100 + 33 + (b - 0x7F);
    return 0x100 + 67; /* 0xAD */
}

int slm_char_byte(int32_t cp)
{
    if (cp < 0x100)
        return cp >= 0 && plain(cp) ? (int)cp : -1;
    cp -= 0x100;
    if (cp <= 0x20)
        return (int)cp;
    if (cp < 67)
        return (int)(0x7F + cp - 33);
    return cp == 67 ? 0xAD : -1;
}

void slm_bytes_to_chars(struct slm_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c[4];
        slm_buf_put(b, c, (size_t)slm_utf8_put(c, slm_byte_char((uint8_t)s[i])));
    }
}

bool slm_chars_to_bytes(char *out, size_t *len, const char *s, size_t n)
{
    size_t m = 0;
    for (size_t i = 0; i < n;) {
        int32_t cp;
        i += (size_t)slm_utf8_next(s + i, n - i, &cp);
        int b = slm_char_byte(cp);
        if (b < 0)
            return false;
        out[m++] = (char)b;
    }
    *len = m;
    return true;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int slm_byte_piece(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) || s[5] != '>')
        return -1;
    int a = hex(s[3]), b = hex(s[4]);
    return a < 0 || b < 0 ? -1 : a * 16 + b;
}

bool slm_base64_put(struct slm_buf *out, const char *s, size_t n)
{
    uint32_t w = 0;
    int bits = 0;
    while (n && s[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '+'             ? 62
                : c == '/'             ? 63
                                       : -1;
        if (v < 0)
            return false;
        w = w << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            slm_buf_putc(out, (char)(w >> bits));
        }
    }
    return true;
}
