# Compiler and linker settings that hold for every target.
if(CMAKE_BUILD_TYPE STREQUAL "")
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # By the files that the compiler itself lists: what is compiled anew is not preprocessed twice.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_DEPEND=true "${CCACHE}")
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Results must not depend on the optimizer: no contraction of a*b+c into an fma that the source does
# not ask for (docs/numerics.md).
add_compile_options(-ffp-contract=off)
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                    -Wconversion -Wsign-conversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++-12 warns of members with default initializers that a designated initializer leaves out, and
  # reports std::string and std::vector internals at -O2 and above.
  add_compile_options(-Wno-missing-field-initializers -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized
                      -Wno-stringop-overread)
endif()

if(PLIMSOLL_SANITIZE)
  add_compile_options(-fsanitize=${PLIMSOLL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PLIMSOLL_SANITIZE})
  if(PLIMSOLL_SANITIZE_LEAVE_OUT)
    add_compile_options(-fno-sanitize=${PLIMSOLL_SANITIZE_LEAVE_OUT})
  endif()
else()
  add_compile_definitions($<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
  add_compile_options(-fstack-protector-strong)
endif()
if(PLIMSOLL_FUZZ)
  # Coverage for the fuzz targets; the driver itself is linked only into them.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# plimsoll_compile_quickly(TARGET): for code whose speed nobody waits for, such as tests. A sanitizer
# finds no less in code that is not optimised, and compiling it takes half the time; the libraries under
# test keep the optimizer.
function(plimsoll_compile_quickly target)
  if(PLIMSOLL_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

# plimsoll_compile_together(TARGET): several sources at a time, since most of the time goes into the
# headers that all of them include. Names of one file only must then be unlike in a folder.
function(plimsoll_compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
endfunction()
