/* Maps between populations, and errors through them, of one event.

Activation functions and what the loss computes are generated. */

/* The normalised z; returns the scale that it was multiplied by. */
static real normalise(const real *z, real *normalised, long n) {
    real mean = 0, variance = 0;
    SUM(mean) for (long i = 0; i < n; i++) mean += z[i];
    mean /= (real)n;
    SUM(variance) for (long i = 0; i < n; i++) variance += (z[i] - mean) * (z[i] - mean);
    const real scale = 1 / CALL(sqrt)(variance / (real)n + (real)LAYER_NORM_EPSILON);
    SIMD for (long i = 0; i < n; i++) normalised[i] = (z[i] - mean) * scale;
    return scale;
}

/* The error of what was normalised, from that of the normalised. */
static void normalise_back(const real *error, const real *normalised, real scale, real *into,
                           long n) {
    real mean = 0, along = 0;
    SUM(mean) for (long i = 0; i < n; i++) mean += error[i];
    SUM(along) for (long i = 0; i < n; i++) along += error[i] * normalised[i];
    mean /= (real)n;
    along /= (real)n;
    SIMD for (long i = 0; i < n; i++)
        into[i] = (error[i] - mean - normalised[i] * along) * scale;
}

INLINE void scale_by(const real *from, real factor, real *to, long pad) {
    SIMD for (long i = 0; i < pad; i++) to[i] = from[i] * factor;
}

INLINE void add(const real *a, const real *b, real *sum, long pad) {
    SIMD for (long i = 0; i < pad; i++) sum[i] = a[i] + b[i];
}
