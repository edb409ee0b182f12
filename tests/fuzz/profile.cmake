sallyport_fuzz_target(profile SOURCES profile_fuzz.cpp LINK sallyport_profile)
sallyport_fuzz_target(config SOURCES config_fuzz.cpp LINK sallyport_profile)
