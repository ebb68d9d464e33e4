# cmake -D NM=nm -D OBJECTS=a.o,b.o -P IsaSymbols.cmake: fails if an object of an instruction set's
# folder defines a weak symbol.
#
# An inline function with external linkage that such a source uses is compiled with the richer flags,
# and the linker may keep that copy for the whole program, which then dies on an older CPU.
string(REPLACE "," ";" objects "${OBJECTS}")
list(FILTER objects INCLUDE REGEX "/(avx2|avx512)/[^/]*\\.o$")
if(NOT objects)
  message(FATAL_ERROR "no objects of an instruction set among: ${OBJECTS}")
endif()
foreach(object IN LISTS objects)
  execute_process(COMMAND "${NM}" -C "${object}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
  if(weak)
    message(SEND_ERROR "${object} defines symbols that other objects could be linked to:\n${weak}")
  endif()
endforeach()
