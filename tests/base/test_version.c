/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

TEST(version, header_and_library_agree)
{
    char text[32];

    CHECK(ml_version_number() == ML_VERSION_NUMBER);
    snprintf(text, sizeof text, "%d.%d.%d", ML_VERSION_MAJOR, ML_VERSION_MINOR, ML_VERSION_PATCH);
    CHECK(!strcmp(ml_version_string(), text));
}

TEST(version, build_info_names_version_compiler_and_linear_algebra)
{
    const char *info = ml_build_info(), *last = strrchr(info, ',');

    CHECK(!strncmp(info, "invar ", 6));
    CHECK(!strncmp(info + 6, ml_version_string(), strlen(ml_version_string())));
    CHECK(strstr(info, __VERSION__));
    CHECK(last && (!strcmp(last, ", builtin") || !strcmp(last, ", cblas") || !strcmp(last, ", openblas")));
}
