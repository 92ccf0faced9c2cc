/* The functions that rules may call, elementwise.

Those in single precision that every network needs (exp, and through it softplus, tanh and the
sigmoid) are written without a branch, so that the compiler can run a whole vector of them; they
are good to 2 units in the last place. The others call the C library. */

#ifdef DOUBLE

INLINE real exp_(real x) { return exp(x); }
INLINE real tanh_(real x) { return tanh(x); }
INLINE real log1p_of_fraction(real v) { return log1p(v); }
#define CALL(name) name

#else

INLINE real power_of_two(uint32_t exponent) {
    const uint32_t bits = (exponent + 127) << 23;
    real value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* exp(x) = 2^k exp(r) with |r| <= log(2)/2; results below 2^-126 are 0. */
INLINE real exp_(real x) {
    x = x > 89 ? 89 : x;
    const real capped = x < (real)-87.33 ? (real)-87.33 : x;
    /* adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits */
    const real shifted = capped * (real)1.44269504 + (real)12582912;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    const uint32_t k = bits - 0x4b400000u, half = (uint32_t)((int32_t)k >> 1);
    const real whole = shifted - (real)12582912;
    const real r = (capped - whole * (real)0.693359375) + whole * (real)2.12194440e-4;
    real p = (real)1.9875691500e-4;
    p = p * r + (real)1.3981999507e-3;
    p = p * r + (real)8.3334519073e-3;
    p = p * r + (real)4.1665795894e-2;
    p = p * r + (real)1.6666665459e-1;
    p = p * r + (real)5.0000001201e-1;
    p = p * r * r + r + 1;
    /* in two halves, so that neither leaves the range of a power of two */
    const real value = p * power_of_two(half) * power_of_two(k - half);
    return x < (real)-87.33 ? 0 : value;
}

/* log(1 + v) for v from 0 to 1, as 2 atanh(v / (2 + v)). The square must not underflow: numbers
below the normal range take a hundred times as long. */
INLINE real log1p_of_fraction(real v) {
    const real s = v / (2 + v), squared = s < (real)1e-18 ? (real)1e-18 : s;
    const real q = squared * squared;
    real p = (real)(1.0 / 13);
    p = p * q + (real)(1.0 / 11);
    p = p * q + (real)(1.0 / 9);
    p = p * q + (real)(1.0 / 7);
    p = p * q + (real)(1.0 / 5);
    p = p * q + (real)(1.0 / 3);
    return 2 * s * (1 + q * p);
}

INLINE real tanh_(real x) {
    const real size = x < 0 ? -x : x, e = exp_(-2 * size), q = x * x;
    const real far = (1 - e) / (1 + e);
    real p = (real)-5.70498872745e-3;
    p = p * q + (real)2.06390887954e-2;
    p = p * q - (real)5.37397155531e-2;
    p = p * q + (real)1.33314422036e-1;
    p = p * q - (real)3.33332819422e-1;
    const real near = x + x * q * p;
    return size < (real)0.625 ? near : (x < 0 ? -far : far);
}

#define CALL(name) name##f

#endif

INLINE real sigmoid_(real x) { return 1 / (1 + exp_(-x)); }
INLINE real relu_(real x) { return x < 0 ? 0 : x; }
INLINE real maximum_(real a, real b) { return a > b || a != a ? a : b; }
INLINE real minimum_(real a, real b) { return a < b || a != a ? a : b; }
INLINE real lerp_(real a, real b, real weight) { /* from the nearer end, as torch does */
    return CALL(fabs)(weight) < (real)0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}
INLINE real sign_(real x) { return (real)(x > 0) - (real)(x < 0); }

/* log(1 + exp(beta z)) / beta, which is exact for large beta z too. */
INLINE real softplus_(real z, real beta) {
    const real t = beta * z, size = t < 0 ? -t : t;
    return ((t < 0 ? 0 : t) + log1p_of_fraction(exp_(-size))) / beta;
}

static void softmax(const real *z, real *y, long n) {
    real most = z[0], total = 0;
    for (long i = 1; i < n; i++) most = z[i] > most ? z[i] : most;
    SIMD for (long i = 0; i < padded(n); i++) y[i] = exp_(z[i] - most);
    for (long i = 0; i < n; i++) total += y[i];
    for (long i = 0; i < n; i++) y[i] /= total;
}
