"""A redis for one session: a Unix socket and one ACL user without admin and dangerous commands."""
from . import places
from .processes import Daemon

ACL = "-@all +@read +@write +@transaction +@pubsub +@connection +@scripting -@admin -@dangerous +keys +info +client|setname +client|list"


class Redis:
    def __init__(self, user="worker", password="only-this-session", group_id=None):
        self.directory = places.make_directory("redis")
        self.socket = f"{self.directory}/redis.sock"
        self.user, self.password = user, password
        acl = self.directory / "users.acl"
        acl.write_text(f"user default off\nuser {user} on >{password} ~* &* {ACL}\n"
                       f"user operator on >operator ~* &* +@all\n")
        config = self.directory / "redis.conf"
        config.write_text(f"port 0\nunixsocket {self.socket}\nunixsocketperm 777\naclfile {acl}\nsave \"\"\n"
                          f"appendonly no\ndir {self.directory}\nlogfile \"\"\ndaemonize no\n")
        self.daemon = Daemon(["/usr/bin/redis-server", config], f"{self.directory}/log")
        self.daemon.wait_ready(self._answers, 10, "redis does not answer")

    def client(self, **options):
        import redis
        return redis.Redis(unix_socket_path=self.socket, username=self.user, password=self.password, **options)

    def operator(self):
        import redis
        return redis.Redis(unix_socket_path=self.socket, username="operator", password="operator")

    def _answers(self):
        import redis
        try:
            return self.client().ping()
        except (redis.ConnectionError, FileNotFoundError):
            return False

    def end(self):
        self.daemon.end(5)
        places.remove_directory(self.directory)
