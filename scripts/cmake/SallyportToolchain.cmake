# Refuses a compiler that destroys aggregate temporaries of a co_await expression twice (GCC 12 does):
# a program built with it would carry a double free in the broker.
try_run(COROUTINE_PROBE_RUN COROUTINE_PROBE_COMPILED
  SOURCES ${CMAKE_SOURCE_DIR}/scripts/cmake/coroutine_probe.cpp
  CXX_STANDARD 23 CXX_STANDARD_REQUIRED ON
  COMPILE_OUTPUT_VARIABLE COROUTINE_PROBE_LOG)
if(NOT COROUTINE_PROBE_COMPILED)
  message(FATAL_ERROR "Sallyport needs a C++23 compiler with <expected> and coroutines. "
    "On Debian 12: apt-get install clang-19, then cmake --preset release.\n${COROUTINE_PROBE_LOG}")
endif()
if(NOT COROUTINE_PROBE_RUN EQUAL 0)
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER} destroys temporaries of a co_await expression twice, which would be a "
    "double free in the broker. Build with clang 19 (apt-get install clang-19; cmake --preset release).")
endif()
