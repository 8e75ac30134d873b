/* SPDX-License-Identifier: Apache-2.0 */
/* Least and largest values of features. */
#ifndef ML__LEARN_EXTREMES_H
#define ML__LEARN_EXTREMES_H

#include "model/model.h"

/* Over the rows of positive weight where the feature is not missing; 0 and 0 where there are none. */
ml_status ml__find_extremes(ml__fit *f, double *least, double *largest);

#endif
