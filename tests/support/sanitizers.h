/* SPDX-License-Identifier: Apache-2.0 */
/* Which sanitizers this build has: some tests are not for them. */
#ifndef INVAR_TEST_SANITIZERS_H
#define INVAR_TEST_SANITIZERS_H

#if defined(__has_feature)
#define HAS_THREAD_SANITIZER __has_feature(thread_sanitizer)
#define HAS_SANITIZER (__has_feature(thread_sanitizer) || __has_feature(address_sanitizer))
#else
#if defined(__SANITIZE_THREAD__)
#define HAS_THREAD_SANITIZER 1
#else
#define HAS_THREAD_SANITIZER 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER HAS_THREAD_SANITIZER
#endif
#endif

#endif
