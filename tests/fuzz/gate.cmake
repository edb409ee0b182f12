foreach(reader http_head route query create_body)
  sallyport_fuzz_target(${reader} SOURCES ${reader}_fuzz.cpp LINK broker_gate)
endforeach()
sallyport_fuzz_dictionary(create_body LINK broker_api)
