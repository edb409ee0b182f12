# Flags of every target, and the two functions with which targets are declared.
add_library(sallyport_flags INTERFACE)
target_compile_options(sallyport_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wextra-semi -Werror -Wno-gnu-statement-expression
  -Wno-missing-field-initializers
  -fstack-protector-strong -ftrivial-auto-var-init=zero -fcf-protection=full -fvisibility=hidden
  -D_GLIBCXX_ASSERTIONS)
target_compile_definitions(sallyport_flags INTERFACE SALLYPORT_VERSION="${PROJECT_VERSION}")
target_include_directories(sallyport_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_link_options(sallyport_flags INTERFACE -fuse-ld=lld-19 -Wl,-z,relro,-z,now,-z,noexecstack)
if(SALLYPORT_ASAN)
  # vptr: its runtime probes memory through a pipe of its own, which a locked process may not make, and then reports
  # "invalid vptr" for every good object.
  target_compile_options(sallyport_flags INTERFACE -fsanitize=address,undefined -fno-sanitize=vptr
    -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(sallyport_flags INTERFACE -fsanitize=address,undefined)
  target_compile_definitions(sallyport_flags INTERFACE SALLYPORT_ASAN=1)
else()
  # Release programs are link-time optimised; what sallyport_cfi_program() links with must be split as CFI splits it.
  target_compile_options(sallyport_flags INTERFACE $<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -flto=thin -fsplit-lto-unit>)
  target_link_options(sallyport_flags INTERFACE $<$<CONFIG:Release>:-flto=thin -fsplit-lto-unit>)
endif()
if(SALLYPORT_FUZZ)
  target_compile_options(sallyport_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
# Archives without an index, which lld does without: for one, ar would have to read the objects, and Debian 12's are of
# LLVM 14 (llvm-ar, and the plugin of GNU ar), which does not know those of LLVM 19.
set(CMAKE_CXX_ARCHIVE_CREATE "<CMAKE_AR> qcS <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "<CMAKE_AR> qS <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "")

# sallyport_library(NAME SOURCES... [LINK targets...])
function(sallyport_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC sallyport_flags ${arg_LINK})
endfunction()

# sallyport_program(NAME [STATIC] SOURCES... [LINK targets...]): STATIC is static-pie, so no NSS and no interpreter.
function(sallyport_program name)
  cmake_parse_arguments(arg "STATIC" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE sallyport_flags ${arg_LINK})
  if(arg_STATIC AND NOT SALLYPORT_ASAN)
    target_link_options(${name} PRIVATE -static-pie)
  else()
    target_link_options(${name} PRIVATE -pie)
  endif()
endfunction()
