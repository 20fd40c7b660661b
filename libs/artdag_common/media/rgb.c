/* yuv420p in limited range to packed RGB and back, by whole numbers of 16 bits.

   media/rgb.py tells what is computed and why, and does the same to the byte with NumPy; media/kernel.py compiles this.
   Every loop is written so that compilers make vectors of it: one array is written once, numbers stay in 16 bits, and
   `part` is what x86 (pmulhrsw) and ARM (sqrdmulh) have an instruction for. No number is too large for its type; >> of
   negative numbers rounds down with every compiler that this is made for. */

#include <stddef.h>
#include <stdint.h>

/* One file for all processors: the loader takes the quickest version that this one can run. */
#ifndef CLONES
#if defined(__x86_64__) && defined(__GLIBC__)
#define CLONES __attribute__((target_clones("avx2", "sse4.2", "default")))
#else
#define CLONES
#endif
#endif

/* 32768ths of a number, rounded. */
static inline int16_t part(int16_t number, int16_t of) {
    return (int16_t)((((int32_t)number * of >> 14) + 1) >> 1);
}

static inline int16_t centred(uint8_t value) { return (int16_t)((value - 128) * 128); }

/* Also where nothing can be beyond 0 to 255: gcc then sees that 16 bits are enough. */
static inline uint8_t clip(int16_t number) {
    int16_t least = number < 255 ? number : 255;
    return (uint8_t)(least > 0 ? least : 0);
}

/* Chroma of one row of the picture from two of its own, three parts of the nearer: less 128, in 128ths. Every second
   column has a sample, the others the mean of two. */
CLONES
static void widen(const uint8_t *restrict near, const uint8_t *restrict far, int16_t *restrict mixed,
                  int16_t *restrict wide, size_t half) {
    for (size_t i = 0; i < half; i++) mixed[i] = (int16_t)(3 * near[i] + far[i] - 512);
    mixed[half] = mixed[half - 1];
    for (size_t i = 0; i < half; i++) {
        wide[2 * i] = (int16_t)(mixed[i] * 32);
        wide[2 * i + 1] = (int16_t)((mixed[i] + mixed[i + 1]) * 16);
    }
}

/* by: of luma, what is added, of V to red, of U and V to green, of U to blue; in 32nds. */
CLONES
static void colours(const uint8_t *restrict y, const int16_t *restrict u, const int16_t *restrict v,
                    const int16_t *restrict by, uint8_t *restrict red, uint8_t *restrict green,
                    uint8_t *restrict blue, size_t width) {
    int16_t of_y = by[0], base = by[1], red_v = by[2], green_u = by[3], green_v = by[4], blue_u = by[5];
    for (size_t x = 0; x < width; x++) {
        int16_t light = (int16_t)(part(centred(y[x]), of_y) + base);
        red[x] = clip((int16_t)((int16_t)(light + part(v[x], red_v)) >> 5));
        green[x] = clip((int16_t)((int16_t)(light + part(u[x], green_u) + part(v[x], green_v)) >> 5));
        blue[x] = clip((int16_t)((int16_t)(light + part(u[x], blue_u)) >> 5));
    }
}

CLONES
static void weave(const uint8_t *restrict red, const uint8_t *restrict green, const uint8_t *restrict blue,
                  uint8_t *restrict rgb, size_t width) {
    for (size_t x = 0; x < width; x++) {
        rgb[3 * x] = red[x];
        rgb[3 * x + 1] = green[x];
        rgb[3 * x + 2] = blue[x];
    }
}

/* room: 4 * width + 1 numbers. */
void artdag_to_rgb(const uint8_t *y, ptrdiff_t y_stride, const uint8_t *u, ptrdiff_t u_stride, const uint8_t *v,
                   ptrdiff_t v_stride, uint8_t *rgb, size_t width, size_t height, const int16_t *by, int16_t *room) {
    size_t half = width / 2, rows = height / 2;
    int16_t *mixed = room, *wide_u = mixed + half + 1, *wide_v = wide_u + width;
    uint8_t *red = (uint8_t *)(wide_v + width), *green = red + width, *blue = green + width;
    for (size_t row = 0; row < height; row++) {
        size_t near = row / 2, far = row % 2 ? near + 1 : near - 1;
        if (far >= rows) far = near; /* also above the first, where it is the largest number there is */
        widen(u + (ptrdiff_t)near * u_stride, u + (ptrdiff_t)far * u_stride, mixed, wide_u, half);
        widen(v + (ptrdiff_t)near * v_stride, v + (ptrdiff_t)far * v_stride, mixed, wide_v, half);
        colours(y + (ptrdiff_t)row * y_stride, wide_u, wide_v, by, red, green, blue, width);
        weave(red, green, blue, rgb + row * 3 * width, width);
    }
}

CLONES
static void part_colours(const uint8_t *restrict rgb, uint8_t *restrict red, uint8_t *restrict green,
                         uint8_t *restrict blue, size_t width) {
    for (size_t x = 0; x < width; x++) {
        red[x] = rgb[3 * x];
        green[x] = rgb[3 * x + 1];
        blue[x] = rgb[3 * x + 2];
    }
}

/* by: of red, of green, of blue, what is added; in 128ths. */
CLONES
static void light(const uint8_t *restrict red, const uint8_t *restrict green, const uint8_t *restrict blue,
                  const int16_t *restrict by, uint8_t *restrict y, size_t width) {
    int16_t of_red = by[0], of_green = by[1], of_blue = by[2], base = by[3];
    for (size_t x = 0; x < width; x++) {
        int16_t sum = (int16_t)(part(centred(red[x]), of_red) + part(centred(green[x]), of_green));
        sum = (int16_t)(sum + part(centred(blue[x]), of_blue) + base);
        y[x] = clip((int16_t)(sum >> 7));
    }
}

/* A colour of a row of chroma from four rows of it, in 64ths. */
CLONES
static void narrow(const uint8_t *restrict before, const uint8_t *restrict upper, const uint8_t *restrict lower,
                   const uint8_t *restrict after, int16_t *restrict mixed, int16_t *restrict few, size_t width) {
    for (size_t x = 0; x < width; x++)
        mixed[x + 2] = (int16_t)(5 * (upper[x] + lower[x]) - (before[x] + after[x]));
    mixed[0] = mixed[1] = mixed[2];
    mixed[width + 2] = mixed[width + 1];
    for (size_t i = 0; i < width / 2; i++)
        few[i] = (int16_t)(6 * mixed[2 * i + 2] + 2 * (mixed[2 * i + 1] + mixed[2 * i + 3]) -
                           (mixed[2 * i] + mixed[2 * i + 4]));
}

/* by: of red, of green, of blue. */
CLONES
static void chroma(const int16_t *restrict red, const int16_t *restrict green, const int16_t *restrict blue,
                   const int16_t *restrict by, uint8_t *restrict plane, size_t half) {
    int16_t of_red = by[0], of_green = by[1], of_blue = by[2];
    for (size_t i = 0; i < half; i++) {
        int16_t sum = (int16_t)(part(red[i], of_red) + part(green[i], of_green) + part(blue[i], of_blue));
        plane[i] = clip((int16_t)((int16_t)(sum + 128 * 64 + 32) >> 6));
    }
}

/* by: of luma 4, of U 3, of V 3. room: 17 * width / 2 + 3 numbers. */
void artdag_to_yuv(const uint8_t *rgb, ptrdiff_t stride, uint8_t *y, ptrdiff_t y_stride, uint8_t *u,
                   ptrdiff_t u_stride, uint8_t *v, ptrdiff_t v_stride, size_t width, size_t height, const int16_t *by,
                   int16_t *room) {
    size_t half = width / 2, read = 0;
    int16_t *mixed = room, *few = mixed + width + 3;
    uint8_t *kept = (uint8_t *)(few + 3 * half); /* the last four rows, each colour by itself */
    for (size_t row = 0; row < height; row += 2) {
        size_t last = row + 2 < height ? row + 2 : row + 1;
        for (; read <= last; read++) {
            uint8_t *red = kept + read % 4 * 3 * width, *green = red + width, *blue = green + width;
            part_colours(rgb + (ptrdiff_t)read * stride, red, green, blue, width);
            light(red, green, blue, by, y + (ptrdiff_t)read * y_stride, width);
        }
        for (size_t colour = 0; colour < 3; colour++) {
            const uint8_t *rows = kept + colour * width;
            narrow(rows + (row ? row - 1 : 0) % 4 * 3 * width, rows + row % 4 * 3 * width,
                   rows + (row + 1) % 4 * 3 * width, rows + last % 4 * 3 * width, mixed, few + colour * half, width);
        }
        chroma(few, few + half, few + 2 * half, by + 4, u + (ptrdiff_t)(row / 2) * u_stride, half);
        chroma(few, few + half, few + 2 * half, by + 7, v + (ptrdiff_t)(row / 2) * v_stride, half);
    }
}
