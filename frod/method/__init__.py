"""The method on tensors alone: no task, no data set, no workflow.

Read in this order: ``decomposition`` (the shared basis of a category; ``alternatives`` to it) -> ``basis`` (of a model,
and on disk) -> ``extraction`` -> ``pattern``, ``plan`` -> ``weights``, ``strategies``, ``linear`` (adapted layers) ->
``heads`` and ``running_state`` (what else training changes) -> ``state`` and ``attach`` -> ``checkpoint``, ``merge``.
"""
