# What `cmake --install` puts on a host: programs, units, a default configuration and a first profile.
# Honours DESTDIR. What is already in /etc/sallyport stays as it is.
if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)
  set(CMAKE_INSTALL_PREFIX /usr CACHE PATH "where programs and units go" FORCE)
endif()
set(SALLYPORT_BIN ${CMAKE_INSTALL_PREFIX}/bin)
set(SALLYPORT_LIBEXEC ${CMAKE_INSTALL_PREFIX}/libexec/sallyport)
set(SALLYPORT_EXAMPLES ${CMAKE_INSTALL_PREFIX}/share/sallyport)
set(SALLYPORT_CONFIGURATION /etc/sallyport)  # compiled in: include/sallyport/profile/config.hpp

install(TARGETS sallyport RUNTIME DESTINATION ${SALLYPORT_BIN})
install(CODE "file(CREATE_LINK sallyport \"\$ENV{DESTDIR}${SALLYPORT_BIN}/sallyport-run\" SYMBOLIC)")
install(TARGETS sallyport-broker sallyport-gate sallyport-relay sallyport-audit RUNTIME DESTINATION ${SALLYPORT_LIBEXEC})

foreach(unit sallyport-broker.service sallyport-worker@.service)
  configure_file(${CMAKE_SOURCE_DIR}/scripts/systemd/${unit}.in ${CMAKE_BINARY_DIR}/systemd/${unit} @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/systemd/${unit} DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/scripts/systemd/sallyport.sysusers.conf
  DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/sysusers.d RENAME sallyport.conf)

# The examples are always the current ones; the operator's own files are only made where there are none.
install(FILES ${CMAKE_SOURCE_DIR}/scripts/systemd/broker.toml ${CMAKE_SOURCE_DIR}/scripts/systemd/worker.toml
  DESTINATION ${SALLYPORT_EXAMPLES})
install(CODE "
  foreach(pair broker.toml=broker.toml worker.toml=profiles/worker.toml)
    string(REPLACE = \";\" pair \${pair})
    list(GET pair 0 from)
    list(GET pair 1 to)
    set(to \"\$ENV{DESTDIR}${SALLYPORT_CONFIGURATION}/\${to}\")
    if(EXISTS \"\${to}\")
      message(STATUS \"Kept: \${to} (the current example is ${SALLYPORT_EXAMPLES}/\${from})\")
    else()
      cmake_path(GET to PARENT_PATH directory)
      file(MAKE_DIRECTORY \"\${directory}\")
      file(CHMOD \"\${directory}\" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
      configure_file(\"\$ENV{DESTDIR}${SALLYPORT_EXAMPLES}/\${from}\" \"\${to}\" COPYONLY NO_SOURCE_PERMISSIONS)
      message(STATUS \"Made: \${to}\")
    endif()
  endforeach()
  message(STATUS \"Next: systemd-sysusers && systemctl daemon-reload && systemctl enable --now sallyport-broker\")")
