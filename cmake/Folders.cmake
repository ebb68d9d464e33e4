# A folder under src/ is one static library and one test program: every .cc in it and below belongs
# to the library, every _test.cc to the tests, so adding a file needs no list to be edited.
include(GoogleTest)

# What takes its bytes from files and clients, and computes nothing that takes long: by day tests of these
# folders run sanitized, all others with the optimizer. By night all run in both builds.
set(PLIMSOLL_SANITIZED_FOLDERS base io tensor formats text memory kv sampling grammar)

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
    plimsoll_program(${folder}_test SOURCES ${tests} LINKS plimsoll_${folder} ${ARG_TEST_LINKS})
    if(folder IN_LIST PLIMSOLL_SANITIZED_FOLDERS)
      plimsoll_sanitized_by_day(${folder}_test)
    else()
      plimsoll_by_day(${folder}_test)
    endif()
  endif()
endfunction()

# plimsoll_program(NAME SOURCES... LINKS...) makes one GoogleTest program, plimsoll_test one for the optimised
# build of the day. Tests find the repository by
# PLIMSOLL_SOURCE_DIR and the built program by PLIMSOLL_BINARY_DIR.
function(plimsoll_program name)
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
endfunction()

function(plimsoll_test name)
  plimsoll_program(${name} ${ARGN})
  plimsoll_by_day(${name})
endfunction()

# The target `day` is what ./check builds by day. These take targets: what it wants of optimised builds
# (plimsoll_by_day) and of sanitized ones; in the other build they are for the night, as is what
# plimsoll_by_night names, which may be tests without a program of their own too. `ctest -LE night` runs the tests
# of the day.
function(plimsoll_by_day)
  if(PLIMSOLL_SANITIZE)
    plimsoll_by_night(${ARGN})
  else()
    set_property(GLOBAL APPEND PROPERTY PLIMSOLL_BY_DAY ${ARGN})
  endif()
endfunction()

function(plimsoll_sanitized_by_day)
  if(PLIMSOLL_SANITIZE)
    set_property(GLOBAL APPEND PROPERTY PLIMSOLL_BY_DAY ${ARGN})
  else()
    plimsoll_by_night(${ARGN})
  endif()
endfunction()

function(plimsoll_by_night)
  foreach(name IN LISTS ARGN)
    if(TEST ${name})
      set_property(TEST ${name} APPEND PROPERTY LABELS night)
    endif()
  endforeach()
endfunction()

function(plimsoll_make_day)
  get_property(day GLOBAL PROPERTY PLIMSOLL_BY_DAY)
  add_custom_target(day DEPENDS ${day})
endfunction()
