// BENCHMARKS ONLY. What dockerd 20.10 answers, with its headers and its framing (chunked above 2 KiB). ID stands for
// the id of the container or image that was asked for.
#pragma once

#include <string_view>

namespace sallyport::bench {

inline constexpr std::string_view kCommonHeaders =
    "Api-Version: 1.41\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/20.10.24+dfsg1 (linux)\r\n"
    "Date: Sat, 14 Mar 2026 10:23:45 GMT\r\n";

inline constexpr std::string_view kVersionReply =
    R"({"Platform":{"Name":""},"Components":[{"Name":"Engine","Version":"20.10.24+dfsg1","Details":{"ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux"}}],"Version":"20.10.24+dfsg1","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"})";

inline constexpr std::string_view kInfoReply =
    R"({"ID":"KUMJ:M24F","Containers":1,"Images":1,"Driver":"overlay2","CgroupDriver":"cgroupfs","CgroupVersion":"1","OSType":"linux","Architecture":"x86_64","NCPU":2,"SecurityOptions":["name=seccomp,profile=default"],"Warnings":null})";

inline constexpr std::string_view kImageId = "sha256:403b7bed1714b6e7eae03f7e84aa576bd98834389cc27f352331324c5c6431f1";
inline constexpr std::string_view kImageReply =
    R"({"Id":"sha256:403b7bed1714b6e7eae03f7e84aa576bd98834389cc27f352331324c5c6431f1","RepoTags":["busybox:latest"],"RepoDigests":[],"Parent":"","Created":"2026-03-14T10:11:53.918321353Z","Config":{"Hostname":"","Env":null,"Cmd":["sh"],"Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"Architecture":"amd64","Os":"linux","Size":1984154,"VirtualSize":1984154})";

inline constexpr std::string_view kWaitReply = R"({"Error":null,"StatusCode":0})";

// A running container as the broker makes them, on a bridgeless dockerd.
inline constexpr std::
    string_view
        kInspectReply = R"({"Id":"ID","Created":"2026-03-14T10:41:13.65072215Z","Path":"sleep","Args":["600"],"State":{"Status":"running","Running":true,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":10818,"ExitCode":0,"Error":"","StartedAt":"2026-03-14T10:41:13.928778934Z","FinishedAt":"0001-01-01T00:00:00Z"},"Image":"sha256:403b7bed1714b6e7eae03f7e84aa576bd98834389cc27f352331324c5c6431f1",)"
                        R"("ResolvConfPath":"/var/lib/docker/containers/ID/resolv.conf","HostnamePath":"/var/lib/docker/containers/ID/hostname","HostsPath":"/var/lib/docker/containers/ID/hosts","LogPath":"/var/lib/docker/containers/ID/ID-json.log","Name":"/sp-aaaaaaaaaaaa-bench","RestartCount":0,"Driver":"overlay2","Platform":"linux","MountLabel":"","ProcessLabel":"","AppArmorProfile":"","ExecIDs":null,)"
                        R"("HostConfig":{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"json-file","Config":{"max-file":"1","max-size":"16777216"}},"NetworkMode":"none","PortBindings":null,"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"CapAdd":[],"CapDrop":["ALL"],"CgroupnsMode":"private","Dns":null,"DnsOptions":null,"DnsSearch":null,"ExtraHosts":null,"GroupAdd":null,"IpcMode":"private","Cgroup":"","Links":null,"OomScoreAdj":500,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":true,)"
                        R"("SecurityOpt":["no-new-privileges","seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":[\"accept\",\"accept4\",\"access\",\"alarm\",\"arch_prctl\",\"bind\",\"brk\",\"capget\",\"capset\",\"chdir\",\"chmod\",\"chown\",\"clock_getres\",\"clock_gettime\",\"clock_nanosleep\",\"close\",\"close_range\",\"connect\",\"copy_file_range\",\"creat\",\"dup\",\"dup2\",\"dup3\",\"epoll_create\",\"epoll_create1\",\"epoll_ctl\",\"epoll_pwait\",\"epoll_wait\",\"eventfd2\",\"execve\",\"execveat\",\"exit\",\"exit_group\"],\"action\":\"SCMP_ACT_ALLOW\"}]}"],)"
                        R"("UTSMode":"","UsernsMode":"","ShmSize":67108864,"Runtime":"runc","ConsoleSize":[0,0],"Isolation":"","CpuShares":0,"Memory":1073741824,"NanoCpus":0,"CgroupParent":"/sallyport-aaaaaaaaaaaa","BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,"CpuPeriod":100000,"CpuQuota":100000,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,"KernelMemory":0,"KernelMemoryTCP":0,)"
                        R"("MemoryReservation":0,"MemorySwap":1073741824,"MemorySwappiness":null,"OomKillDisable":false,"PidsLimit":128,"Ulimits":[{"Name":"core","Hard":1,"Soft":1}],"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"Mounts":[{"Type":"tmpfs","Target":"/tmp","TmpfsOptions":{"SizeBytes":67108864,"Mode":1023}}],"MaskedPaths":["/proc/asound","/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware"],"ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"Init":false},)"
                        R"("GraphDriver":{"Data":{"LowerDir":"/var/lib/docker/overlay2/d1ff958ff75d8aa2ae826557c930013dcd4d308e12f694ded14272f0bc0dfc9b-init/diff:/var/lib/docker/overlay2/530872eb44a36f84e5fae375539783a56b0db9beb5599f85302d92beef1f787f/diff","MergedDir":"/var/lib/docker/overlay2/d1ff958ff75d8aa2ae826557c930013dcd4d308e12f694ded14272f0bc0dfc9b/merged","UpperDir":"/var/lib/docker/overlay2/d1ff958ff75d8aa2ae826557c930013dcd4d308e12f694ded14272f0bc0dfc9b/diff","WorkDir":"/var/lib/docker/overlay2/d1ff958ff75d8aa2ae826557c930013dcd4d308e12f694ded14272f0bc0dfc9b/work"},"Name":"overlay2"},)"
                        R"("Mounts":[{"Type":"tmpfs","Source":"","Destination":"/tmp","Mode":"","RW":true,"Propagation":""}],"Config":{"Hostname":"0123456789ab","Domainname":"","User":"200004:200004","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["HOME=/tmp","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sleep","600"],"Healthcheck":{"Test":["NONE"]},"Image":"sha256:403b7bed1714b6e7eae03f7e84aa576bd98834389cc27f352331324c5c6431f1","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{"sallyport.broker":"bench","sallyport.session":"aaaaaaaaaaaa"},"StopTimeout":10},)"
                        R"("NetworkSettings":{"Bridge":"","SandboxID":"aa4c81a2c1f82b2c1a4292293e73bc0a677ee1d6d0e72406bbc6e09ecb132f06","HairpinMode":false,"LinkLocalIPv6Address":"","LinkLocalIPv6PrefixLen":0,"Ports":{},"SandboxKey":"/var/run/docker/netns/aa4c81a2c1f8","SecondaryIPAddresses":null,"SecondaryIPv6Addresses":null,"EndpointID":"","Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","MacAddress":"","Networks":{"none":{"IPAMConfig":null,"Links":null,"Aliases":null,"NetworkID":"a6f67e666f3b227fcdfbf401368784affe060bf700abd1e80fd50c4a4afeb40b","EndpointID":"15f073339024e1fe0e2692f8c44ce23772c7af56fae461750426fe45e81556bc","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"MacAddress":"","DriverOpts":null}}}})";

}  // namespace sallyport::bench
