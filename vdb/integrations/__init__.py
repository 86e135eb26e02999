"""vdb behind the interfaces of other libraries, over `vdb.client`. Each module needs its extra.

langchain   a semantic cache for models of LangChain (extra `langchain`)
"""
