/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of kinds. */
#ifndef ML__KINDS_H
#define ML__KINDS_H

#include "model/model.h"

const ml__kind *ml__kind_find(const char *name); /* NULL when unknown */

#endif
