#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes coefficients.h: python3 lib/kernel/coefficients.py | clang-format >lib/kernel/coefficients.h

Minimax polynomials by Remez' exchange in decimals of 60 digits, no package needed. Each one approximates a remainder Q
where the leading terms of the function are taken exactly:

    exp(r)   = 1 + r + r^2 Q(r)        |r| <= ln(2)/2
    log(1+f) = f + f^2 Q(f)            -1/4 <= f <= 1/2
    tanh(x)  = x + x z Q(z), z = x^2   0 <= x <= 1

ROOTS are 2^(j/16), each less j in the bits where j 2^48 added to a number's pattern would count; with them exp needs
|r| <= ln(2)/32 only (EXP_16).

so that the weighted error  (leading factor) (Q - P) / function  is the relative error of the result; the exchange makes
its largest value smallest. Printed with each array: that value in bits, and again after rounding the coefficients.
"""
import struct
from decimal import Decimal as D, getcontext

getcontext().prec = 60
PI = D("3.14159265358979323846264338327950288419716939937510582097494459")
LN2 = D(2).ln()


def cos(x):
    x %= 2 * PI
    term = total = D(1)
    for i in range(1, 60):
        term *= -x * x / (2 * i * (2 * i - 1))
        total += term
    return total


def series(coefficient, x):
    """sum of coefficient(i) x^i until it no longer changes"""
    total, power, i = D(0), D(1), 0
    while True:
        before = total
        total += coefficient(i) * power
        power *= x
        i += 1
        if total == before and i > 3:
            return total


def factorial(n):
    return D(1) if n < 2 else n * factorial(n - 1)


# each: Q and the weight at a point; small arguments by series, where subtraction would cancel
def exp_q(r):
    if abs(r) < D("0.05"):
        return series(lambda i: 1 / factorial(i + 2), r)
    return (r.exp() - 1 - r) / (r * r)


def exp_weight(r):
    return r * r / r.exp()


def log_q(f):
    if abs(f) < D("0.05"):
        return series(lambda i: D((-1) ** (i + 1)) / (i + 2), f)
    return ((1 + f).ln() - f) / (f * f)


def log_weight(f):
    return f * f / (f + f * f * log_q(f)) if f else D(0)


def tanh(x):
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


def tanh_q(z):
    if z < D("1e-14"):  # z^-1 (tanh(x)/x - 1) = -1/3 + 2/15 z - 17/315 z^2 ...
        return D(-1) / 3 + 2 * z / 15 - 17 * z * z / 315 + 62 * z**3 / 2835
    x = z.sqrt()
    return (tanh(x) / x - 1) / z


def tanh_weight(z):
    return z / (1 + z * tanh_q(z))


def solve(rows):
    """Gaussian elimination with partial pivoting; rows = [A | b]"""
    n = len(rows)
    for c in range(n):
        p = max(range(c, n), key=lambda i: abs(rows[i][c]))
        rows[c], rows[p] = rows[p], rows[c]
        for i in range(c + 1, n):
            factor = rows[i][c] / rows[c][c]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[c])]
    x = [D(0)] * n
    for i in reversed(range(n)):
        x[i] = (rows[i][n] - sum(rows[i][j] * x[j] for j in range(i + 1, n))) / rows[i][i]
    return x


def evaluate(p, x):
    total = D(0)
    for c in reversed(p):
        total = total * x + c
    return total


def remez(q, weight, low, high, n):
    """n coefficients, lowest first, and the largest weighted error"""
    grid = [(low + high) / 2 - (high - low) / 2 * cos(PI * i / 400) for i in range(401)]
    samples = [(x, q(x), weight(x)) for x in grid]
    # extrema of the weighted error: start from Chebyshev's
    at = [round(400 * (i + D("0.5")) / (n + 1)) for i in range(n + 1)]
    for _ in range(20):
        rows = []
        for sign, i in enumerate(at):
            x, value, w = samples[i]
            rows.append([x**j for j in range(n)] + [D((-1) ** sign) / w, value])
        p = solve(rows)[:n]
        error = [w * (value - evaluate(p, x)) for x, value, w in samples]
        # one extremum per run of equal sign, then drop the smaller end until n + 1 are left
        best = []
        for i, e in enumerate(error):
            if best and (error[best[-1]] > 0) == (e > 0):
                if abs(e) > abs(error[best[-1]]):
                    best[-1] = i
            else:
                best.append(i)
        while len(best) > n + 1:
            best.pop(0 if abs(error[best[0]]) < abs(error[best[-1]]) else -1)
        if len(best) < n + 1 or best == at:
            break
        at = best
    return p, max(abs(e) for e in error), samples


def round_to(x, digits):
    """x to so many binary digits, as an exact Decimal"""
    if x == 0:
        return x
    exponent = 0
    y = abs(x)
    while y >= 1:
        y /= 2
        exponent += 1
    while y < D("0.5"):
        y *= 2
        exponent -= 1
    return (x * D(2) ** (digits - exponent)).to_integral_value() / D(2) ** (digits - exponent)


def literal(x, single):
    mantissa, exponent = float(x).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent + ("f" if single else "")


def bits(e):
    return float(e.ln() / LN2)


def polynomial(name, q, weight, low, high, n, single):
    digits = 24 if single else 53
    p, error, samples = remez(q, weight, low, high, n)
    p = [round_to(c, digits) for c in p]
    after = max(abs(w * (value - evaluate(p, x))) for x, value, w in samples)
    suffix = "f32" if single else "f64"
    print("/* relative error 2^%.1f, with rounded coefficients 2^%.1f */" % (bits(error), bits(after)))
    print("static const %s %s_%s[] = {" % ("float" if single else "double", name, suffix))
    for c in p:
        print("    %s," % literal(c, single))
    print("};\n")


def split_constant(name, value, digits, single):
    """high has so few digits that a multiple by an exponent is exact"""
    suffix = "f32" if single else "f64"
    high = round_to(value, digits)
    low = round_to(value - high, 24 if single else 53)
    kind = "float" if single else "double"
    print("static const %s %s_HIGH_%s = %s;" % (kind, name, suffix, literal(high, single)))
    print("static const %s %s_LOW_%s = %s;" % (kind, name, suffix, literal(low, single)))


print("""/* SPDX-License-Identifier: Apache-2.0 */
/* Written by coefficients.py, which explains them. Polynomials have their lowest coefficient first. */
#ifndef ML__KERNEL_COEFFICIENTS_H
#define ML__KERNEL_COEFFICIENTS_H

#include <stdint.h>
""")
HALF_LN2 = LN2 / 2 * D("1.00001")  # what rounding of the multiple leaves over
for single in (True, False):
    kind, suffix, digits = ("float", "f32", 24) if single else ("double", "f64", 53)
    print("static const %s LOG2_E_%s = %s;" % (kind, suffix, literal(round_to(1 / LN2, digits), single)))
    split_constant("LN2", LN2, 15 if single else 42, single)
    print()
    polynomial("EXP", exp_q, exp_weight, -HALF_LN2, HALF_LN2, 5 if single else 10, single)
    polynomial("LOG", log_q, log_weight, D("-0.25"), D("0.5"), 10 if single else 21, single)
    polynomial("TANH", tanh_q, tanh_weight, D(0), D(1), 7 if single else 15, single)
split_constant("LN2_16", LN2, 39, False)
print()
polynomial("EXP_16", exp_q, exp_weight, -HALF_LN2 / 16, HALF_LN2 / 16, 5, False)
print("_Alignas(64) static const uint64_t ROOTS[] = {")
for j in range(16):
    pattern = struct.unpack("<Q", struct.pack("<d", float(round_to((LN2 * j / 16).exp(), 53))))[0]
    print("    0x%x," % (pattern - (j << 48)))
print("};\n")
print("#endif")
