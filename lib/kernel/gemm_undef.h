/* SPDX-License-Identifier: Apache-2.0 */
/* Makes room for another inclusion of kernel/gemm_tmpl.h. */
#undef REAL
#undef NAME
#undef PUBLIC
#undef VECTOR
#undef LANES
#undef PART
#undef PART_OF
#undef KEEP_PART
#undef ZERO
#undef BROADCAST
#undef LOAD
#undef LOAD_PART
#undef STORE
#undef STORE_PART
#undef MULTIPLY
#undef MULTIPLY_ADD
#undef SUBTRACT_PRODUCT
#undef MIN
#undef MAX
#undef SQRT
#undef WHERE_POSITIVE
#undef CHOOSE_LESS
#undef NUMBER
#undef ROWS_AT_ONCE
#undef GROUP
