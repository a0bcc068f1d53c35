# SPDX-License-Identifier: MIT
# ovhcloud.py: OVHcloud's IP load balancer, by its own client (python-ovh, which knows where its keys are).
# SERVICE=ip-192.0.2.1 FARM=1 SERVER=2 python3 ovhcloud.py
#
# A farm's probe must have no port of its own. Trust what is printed: where the balancer comes from.
import os

import ovh

service, farm, server = (os.environ[name] for name in ("SERVICE", "FARM", "SERVER"))
client = ovh.Client()
client.put(f"/ipLoadbalancing/{service}/tcp/farm/{farm}/server/{server}", proxyProtocolVersion="v2")
client.post(f"/ipLoadbalancing/{service}/refresh")
for where in client.get(f"/ipLoadbalancing/{service}/natIp"):
    print(*where["ip"], sep="\n")
