-- SPDX-License-Identifier: MIT
-- Tells who asks it, by Prosody's own HTTP server.
module:depends("http");
module:provides("http", {
    default_path = "/who";
    route = {
        GET = function (event)
            local request = event.request;
            local told = request.ip .. " " .. request.conn:clientport();
            module:log("info", "served %s", told);
            return told;
        end;
    };
});
