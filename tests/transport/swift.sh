#!/usr/bin/env bash
# One-node OpenStack Swift with its S3 interface on 127.0.0.1, as Debian packages it: swift.sh DIR PORT. It takes four ports
# from PORT on, keeps everything in DIR, and writes the ids of its processes to DIR/pids.
set -euo pipefail
folder=$(realpath -m "$1")
port=$2
user=$(id -un)
mkdir -p "$folder"/{etc,node/d1,log,cache}
cd "$folder/etc"
cat > swift.conf << END
[swift-hash]
swift_hash_path_suffix = loopback
swift_hash_path_prefix = loopback
[storage-policy:0]
name = one
default = yes
END
for service in object:$((port + 1)) container:$((port + 2)) account:$((port + 3)); do
  name=${service%:*}
  at=${service#*:}
  {
    swift-ring-builder "$name.builder" create 4 1 1
    swift-ring-builder "$name.builder" add "r1z1-127.0.0.1:$at/d1" 1
    swift-ring-builder "$name.builder" rebalance
  } > /dev/null
  cat > "$name.conf" << END
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $at
workers = 1
user = $user
swift_dir = $folder/etc
devices = $folder/node
mount_check = false
fallocate_reserve = 0
log_level = WARNING
[pipeline:main]
pipeline = $name-server
[app:$name-server]
use = egg:swift#$name
[filter:recon]
use = egg:swift#recon
recon_cache_path = $folder/cache
END
done
{
  cat << END
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
workers = 1
user = $user
swift_dir = $folder/etc
[pipeline:main]
pipeline = catch_errors proxy-logging cache s3api tempauth slo dlo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
END
  for filter in catch_errors:catch_errors proxy-logging:proxy_logging slo:slo dlo:dlo; do
    printf '[filter:%s]\nuse = egg:swift#%s\n' "${filter%:*}" "${filter#*:}"
  done
} > proxy.conf
for name in object container account proxy; do
  SWIFT_DIR=$folder/etc nohup "swift-$name-server" "$folder/etc/$name.conf" > "$folder/log/$name.log" 2>&1 &
  echo $! >> "$folder/pids"
done
