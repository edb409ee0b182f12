sallyport_fuzz_target(codec SOURCES codec_fuzz.cpp)
sallyport_fuzz_target(read_reply SOURCES read_reply_fuzz.cpp LINK broker_engine)
