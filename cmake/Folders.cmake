# A folder under src/ is one static library and one test program: every .cc in it and below belongs
# to the library, every _test.cc to the tests, so adding a file needs no list to be edited.
include(GoogleTest)

function(plimsoll_folder folder)
  cmake_parse_arguments(ARG "" "" "LINKS;TEST_LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  if(sources)
    add_library(plimsoll_${folder} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(plimsoll_${folder} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(plimsoll_${folder} ${scope} "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(plimsoll_${folder} ${scope} ${ARG_LINKS})
  # Kernels are optimised file by file, each for its instruction set; a debug build is for someone who
  # changes one file at a time.
  if(sources AND (PLIMSOLL_SANITIZE OR (CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT folder STREQUAL "kernels")))
    plimsoll_compile_together(plimsoll_${folder})
  endif()

  if(tests)
    plimsoll_test(${folder}_test SOURCES ${tests} LINKS plimsoll_${folder} ${ARG_TEST_LINKS})
    # By day they run in one build: sanitized; kernels, which are not sanitized by day, optimised.
    set(is_optimised TRUE)
    if(PLIMSOLL_SANITIZE)
      set(is_optimised FALSE)
    endif()
    set(wants_optimised FALSE)
    if(folder STREQUAL "kernels")
      set(wants_optimised TRUE)
    endif()
    if(NOT is_optimised STREQUAL wants_optimised)
      plimsoll_by_night(${folder}_test)
    endif()
  endif()
endfunction()

# plimsoll_test(NAME SOURCES... LINKS...) makes one GoogleTest program. Tests find the repository by
# PLIMSOLL_SOURCE_DIR and the built program by PLIMSOLL_BINARY_DIR.
function(plimsoll_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} GTest::gmock GTest::gtest_main)
  plimsoll_compile_quickly(${name})
  plimsoll_compile_together(${name})
  target_compile_definitions(${name} PRIVATE PLIMSOLL_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             PLIMSOLL_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
  plimsoll_by_day(${name})
endfunction()

# The target `day` is what ./check builds by day: the product, and the programs that the tests of the
# day want. Both functions take targets; plimsoll_by_night also tests that have no program of their
# own, and labels all of them: `ctest -LE night` runs the others.
function(plimsoll_by_day)
  set_property(GLOBAL APPEND PROPERTY PLIMSOLL_BY_DAY ${ARGN})
endfunction()

function(plimsoll_by_night)
  set_property(GLOBAL APPEND PROPERTY PLIMSOLL_BY_NIGHT ${ARGN})
  foreach(name IN LISTS ARGN)
    if(TEST ${name})
      set_tests_properties(${name} PROPERTIES LABELS night)
    endif()
  endforeach()
endfunction()

function(plimsoll_make_day)
  get_property(day GLOBAL PROPERTY PLIMSOLL_BY_DAY)
  get_property(night GLOBAL PROPERTY PLIMSOLL_BY_NIGHT)
  list(REMOVE_ITEM day ${night})
  add_custom_target(day DEPENDS ${day})
endfunction()
