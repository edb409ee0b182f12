# What `cmake --install` puts on a host: programs, units, a default configuration and a first profile.
