# Programs that read hostile bytes are built with control-flow integrity: an indirect or virtual call to anything but a
# function of its type ends the process. It needs the whole program in one link-time optimisation, so the sources of its
# parts are compiled once more, for it alone. Only in release builds: the sanitizers have checks of their own.
#
# sallyport_cfi_program(NAME SOURCES... PARTS libraries... [LINK targets...]): static, like sallyport_program(... STATIC).
function(sallyport_cfi_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;PARTS;LINK" ${ARGN})
  if(SALLYPORT_ASAN OR NOT CMAKE_BUILD_TYPE STREQUAL "Release")
    sallyport_program(${name} STATIC SOURCES ${arg_SOURCES} LINK ${arg_PARTS} ${arg_LINK})
    return()
  endif()
  set(sources ${arg_SOURCES})
  foreach(part ${arg_PARTS})
    get_target_property(part_sources ${part} SOURCES)
    get_target_property(part_directory ${part} SOURCE_DIR)
    foreach(source ${part_sources})
      cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${part_directory})
      list(APPEND sources ${source})
    endforeach()
  endforeach()
  sallyport_program(${name} STATIC SOURCES ${sources} LINK ${arg_LINK})
  # cfi-unrelated-cast: Asio casts raw memory to types before they are constructed there.
  set(flags -flto=thin -fsanitize=cfi -fno-sanitize=cfi-unrelated-cast)
  target_compile_options(${name} PRIVATE ${flags})
  target_link_options(${name} PRIVATE ${flags})
endfunction()
