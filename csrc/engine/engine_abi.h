// SPDX-License-Identifier: MIT
//
// The C interface between a page-table engine and a program that measures it.
//
// A shared library exports `const struct engine *const *engine_list(void)`: the engines that it
// holds, with a null pointer behind the last. The layout is fixed: programs are built without us.

#ifndef KVMIOMMU_ENGINE_ABI_H
#define KVMIOMMU_ENGINE_ABI_H

#include <stdint.h>

enum {
    ENGINE_ABI = 1,
    ENG_READ = 1,
    ENG_WRITE = 2,
};

struct engine_cfg {
    uint32_t abi;           /* ENGINE_ABI */
    uint32_t flags;         /* must be 0: a coherent walker without an IOTLB */
    uint64_t pgsize_bitmap; /* page sizes to offer of those of the format; 0: all */
};

struct engine {
    const char* name;
    /* An empty page table; null when that cannot be. */
    void* (*create)(const struct engine_cfg* cfg);
    /* Maps a range: 0 or a negative errno, and then nothing is mapped. */
    int (*map)(void* handle, uint64_t iova, uint64_t pa, uint64_t size, int prot);
    /* Bytes that were unmapped. */
    uint64_t (*unmap)(void* handle, uint64_t iova, uint64_t size);
    /* Where an iova leads; 0: nowhere. */
    uint64_t (*iova_to_phys)(void* handle, uint64_t iova);
    void (*destroy)(void* handle);
    /* Bytes of page-table memory that all tables of the library hold. */
    uint64_t (*pt_bytes)(void* handle);
    uint64_t pgsize_bitmap; /* page sizes of the format, a bit each */
    uint32_t ias;           /* bits of an iova */
    uint32_t oas;           /* bits of a physical address */
    const char* note;
};

typedef const struct engine* const* (*engine_list_fn)(void);

/* A library whose engines have code for several kinds of processor exports two more functions:
 *   const char* const* engine_kinds(void)
 * gives the names of those that this processor runs, the one in use first, with a null pointer
 * behind the last, and
 *   int engine_use_kind(const char* name)
 * makes all engines use another one, while no call is under way: 0, or -EINVAL if it is not among
 * them. If the environment variable KVMIOMMU_WIDE is set when engine_list() is called for the first
 * time, the kind that it names is the only one, and engine_list() is empty if there is no such. */
typedef const char* const* (*engine_kinds_fn)(void);
typedef int (*engine_use_kind_fn)(const char* name);

#endif
