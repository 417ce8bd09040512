/* strftime_now: the directives of C's strftime with the C locale's names, written out here so
 * that neither locale nor time zone of the process matters. Glibc's flags - _ 0 ^ # are
 * understood. */
#include <stdio.h>
#include <string.h>

#include "pyval/pyval.h"

struct when {
    int64_t year;
    int month, day, hour, minute, second, yday, wday;
};

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static bool leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

/* Civil date of a count of seconds; the Gregorian cycle of 400 years has 146097 days. */
static struct when civil(int64_t t)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t day = t / 86400, s = t % 86400;
    if (s < 0) {
        s += 86400;
        day--;
    }
    struct when w = {
        .hour = (int)(s / 3600), .minute = (int)(s / 60 % 60), .second = (int)(s % 60)};
    w.wday = (int)(((day % 7) + 11) % 7);
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
            doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    w.day = (int)(doy - (153 * mp + 2) / 5 + 1);
    w.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    w.year = yoe + era * 400 + (w.month <= 2);
    w.yday = before[w.month - 1] + w.day - 1 + (w.month > 2 && leap(w.year));
    return w;
}

/* ISO week and its year. */
static int iso_week(const struct when *w, int64_t *year)
{
    int wday = (w->wday + 6) % 7, week = (w->yday - wday + 10) / 7;
    *year = w->year;
    if (week < 1) {
        --*year;
        int days_before = 365 + leap(*year);
        return (w->yday + days_before - wday + 10) / 7;
    }
    if (week == 53 && w->yday - wday + 3 >= 365 + leap(w->year)) {
        ++*year;
        return 1;
    }
    return week;
}

static void put(struct slm_buf *b, int64_t v, int width, char pad, char flag)
{
    char s[32];
    if (flag == '-')
        width = 0;
    else if (flag == '_')
        pad = ' ';
    else if (flag == '0')
        pad = '0';
    snprintf(s, sizeof s, pad == ' ' ? "%*lld" : "%0*lld", width, (long long)v);
    slm_buf_puts(b, s);
}

static void put_word(struct slm_buf *b, const char *s, size_t n, char flag, bool swap)
{
    size_t len = n && n < strlen(s) ? n : strlen(s);
    for (size_t i = 0; i < len; i++) {
        bool lower = s[i] >= 'a' && s[i] <= 'z', upper = s[i] >= 'A' && s[i] <= 'Z';
        if (lower && (flag == '^' || (flag == '#' && !swap)))
            slm_buf_putc(b, (char)(s[i] - 32));
        else if (upper && flag == '#' && swap)
            slm_buf_putc(b, (char)(s[i] + 32));
        else
            slm_buf_putc(b, s[i]);
    }
}

static const char *composite(char c)
{
    switch (c) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    case 'T':
    case 'X': return "%H:%M:%S";
    default: return NULL;
    }
}

static bool number(struct slm_buf *b, const struct when *w, char c, char flag, int64_t now)
{
    int64_t y;
    int wmon = (w->wday + 6) % 7, hour12 = w->hour % 12 ? w->hour % 12 : 12,
        week = iso_week(w, &y);
    switch (c) {
    case 'Y': put(b, w->year, 1, '0', flag); return true;
    case 'C': put(b, w->year / 100, 2, '0', flag); return true;
    case 'y': put(b, w->year % 100, 2, '0', flag); return true;
    case 'm': put(b, w->month, 2, '0', flag); return true;
    case 'd': put(b, w->day, 2, '0', flag); return true;
    case 'e': put(b, w->day, 2, ' ', flag); return true;
    case 'H': put(b, w->hour, 2, '0', flag); return true;
    case 'k': put(b, w->hour, 2, ' ', flag); return true;
    case 'I': put(b, hour12, 2, '0', flag); return true;
    case 'l': put(b, hour12, 2, ' ', flag); return true;
    case 'M': put(b, w->minute, 2, '0', flag); return true;
    case 'S': put(b, w->second, 2, '0', flag); return true;
    case 'f': put(b, 0, 6, '0', 0); return true;
    case 'j': put(b, w->yday + 1, 3, '0', flag); return true;
    case 'w': put(b, w->wday, 1, '0', flag); return true;
    case 'u': put(b, wmon + 1, 1, '0', flag); return true;
    case 'U': put(b, (w->yday + 7 - w->wday) / 7, 2, '0', flag); return true;
    case 'W': put(b, (w->yday + 7 - wmon) / 7, 2, '0', flag); return true;
    case 'V': put(b, week, 2, '0', flag); return true;
    case 'G': put(b, y, 1, '0', flag); return true;
    case 'g': put(b, y % 100, 2, '0', flag); return true;
    case 's': put(b, now, 1, '0', flag); return true;
    default: return false;
    }
}

static void format_time(struct slm_buf *b, const struct when *w, const char *s, size_t n,
                        int64_t now)
{
    for (size_t i = 0; i < n && !b->failed; i++) {
        size_t at = i;
        char flag = 0;
        if (s[i] != '%' || i + 1 >= n) {
            slm_buf_putc(b, s[i]);
            continue;
        }
        i++;
        while (i + 1 < n && strchr("-_0^#", s[i]))
            flag = s[i++];
        const char *more = composite(s[i]);
        if (more)
            format_time(b, w, more, strlen(more), now);
        else if (s[i] == 'A' || s[i] == 'a')
            put_word(b, days[w->wday], s[i] == 'a' ? 3 : 0, flag, false);
        else if (s[i] == 'B' || s[i] == 'b' || s[i] == 'h')
            put_word(b, months[w->month - 1], s[i] == 'B' ? 0 : 3, flag, false);
        else if (s[i] == 'p' || s[i] == 'P')
            put_word(b,
                     w->hour < 12  ? s[i] == 'p' ? "AM" : "am"
                     : s[i] == 'p' ? "PM"
                                   : "pm",
                     0, flag, true);
        else if (s[i] == 'n' || s[i] == 't' || s[i] == '%')
            slm_buf_putc(b, s[i] == 'n' ? '\n' : s[i] == 't' ? '\t' : '%');
        else if (s[i] != 'z' && s[i] != 'Z' && !number(b, w, s[i], flag, now))
            slm_buf_put(b, s + at, i + 1 - at);
    }
}

py_val slm_py_strftime(struct py_run *r, py_val f, int64_t now)
{
    struct slm_buf b;
    if (f.t != T_STR)
        return slm_py_fail(r, SLM_E_TEMPLATE, "strftime() argument 1 must be str, not %s",
                           slm_py_type_name(f));
    struct when w = civil(now);
    slm_py_buf(r, &b);
    format_time(&b, &w, f.s->s, f.s->n, now);
    return slm_py_step(r, f.s->n) ? slm_py_buf_str(r, &b) : (slm_buf_release(&b), py_failed());
}
