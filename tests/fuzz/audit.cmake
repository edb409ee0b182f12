sallyport_fuzz_target(audit SOURCES audit_fuzz.cpp LINK broker_audit_view)
