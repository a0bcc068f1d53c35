# SPDX-License-Identifier: MIT
"""Tells who asks it, by asyncio: asyncio_server.py HOST PORT"""
import asyncio
import sys


async def answer(reader, writer):
    try:
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET "):
            return
        address, port = writer.get_extra_info("peername")[:2]
        print("served", address, port, flush=True)
        writer.write(f"HTTP/1.0 200 OK\r\n\r\n{address} {port}".encode())
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(answer, sys.argv[1], int(sys.argv[2]))
    print("listening", flush=True)
    await server.serve_forever()

asyncio.run(main())
