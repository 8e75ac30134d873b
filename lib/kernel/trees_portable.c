/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of trees for any processor. */
#define VECTOR_BYTES 16
#include "kernel/trees_generic.h"
#include "kernel/trees_plain.h"

#define PUBLIC(name) ML__PORTABLE_TREE(name)
#include "kernel/trees_columns_tmpl.h"
#include "kernel/trees_tmpl.h"
