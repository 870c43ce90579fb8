"""Meshes of quads whose vertices are weighted sums of base vertices.

Subdivision is linear, so a subdivided mesh is a sparse matrix over the base mesh; the same matrix
carries every shape target and every person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from source import Floats, Group, Ints


@dataclass(frozen=True)
class Surface:
    """Quads over vertices that are ``weights @ base``.

    Attributes:
        weights: Sparse, (vertices, base vertices); rows sum to 1.
        quads: (faces, 4).
        corners: Texture coordinates of each quad's corners, (faces, 4, 2).
    """

    weights: sp.csr_matrix
    quads: Ints
    corners: Floats

    def triangles(self) -> Ints:
        """Each quad as two triangles, without the empty ones."""
        quads = self.quads
        both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        a, b, c = both.T
        return both[(a != b) & (b != c) & (a != c)]


@dataclass(frozen=True)
class Split:
    """A surface with one vertex per position and texture coordinate, as a GPU wants it.

    Attributes:
        vertex: The surface's vertex of each, (n,).
        texture: (n, 2).
        triangles: (m, 3).
    """

    vertex: Ints
    texture: Floats
    triangles: Ints


def surface(group: Group, texture: Floats, base_count: int, keep: NDArray[np.bool_]) -> Surface:
    """The kept faces of a group, not subdivided."""
    quads, corners = group.quads[keep], texture[group.corners[keep]]
    used = np.unique(quads)
    number = np.full(base_count, -1)
    number[used] = np.arange(len(used))
    weights = sp.csr_matrix(
        (np.ones(len(used)), (np.arange(len(used)), used)), shape=(len(used), base_count)
    )
    return Surface(weights, number[quads], corners)


def subdivided(mesh: Surface) -> Surface:
    """One step of Catmull and Clark's subdivision (1978); boundaries stay smooth curves."""
    quads, faces, old = mesh.quads, len(mesh.quads), mesh.weights.shape[0]
    ends = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    edges, edge_of = np.unique(np.sort(ends, 1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(faces, 4)
    count = len(edges)
    of_face = np.repeat(np.arange(faces), 4)

    def matrix(values: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> sp.csr_matrix:
        return sp.csr_matrix((values, (rows, columns)), shape=shape)

    face_points = matrix(np.full(faces * 4, 0.25), of_face, quads.ravel(), (faces, old))
    two = np.repeat(np.arange(count), 2)
    middles = matrix(np.full(count * 2, 0.5), two, edges.ravel(), (count, old))
    at_edge = matrix(np.ones(faces * 4), edge_of.ravel(), of_face, (count, faces))
    open_edge = np.asarray(at_edge.sum(1)).ravel() != 2
    inner = sp.diags((~open_edge) * 0.5)
    edge_points = inner @ middles + 0.5 * inner @ at_edge @ face_points
    edge_points = edge_points + sp.diags(open_edge * 1.0) @ middles

    at_vertex = matrix(np.ones(faces * 4), quads.ravel(), of_face, (old, faces))
    touching = matrix(np.ones(count * 2), edges.ravel(), two, (old, count))
    valence = np.maximum(np.asarray(touching.sum(1)).ravel(), 1)
    around = np.maximum(np.asarray(at_vertex.sum(1)).ravel(), 1)
    on_border = np.zeros(old, bool)
    on_border[edges[open_edge]] = True
    inside = ~on_border
    border_edges = touching @ sp.diags(open_edge * 1.0)
    border_count = np.maximum(np.asarray(border_edges.sum(1)).ravel(), 1)
    vertex_points = (
        sp.diags(inside / valence / around) @ at_vertex @ face_points
        + sp.diags(inside * 2 / valence**2) @ touching @ middles
        + sp.diags(inside * (valence - 3) / valence + on_border * 0.5)
        + sp.diags(on_border * 0.5 / border_count) @ border_edges @ middles
    )
    new_weights = sp.vstack([vertex_points, edge_points, face_points]).tocsr() @ mesh.weights

    centre = old + count + np.arange(faces)
    edge = old + edge_of
    halfway = (mesh.corners + np.roll(mesh.corners, -1, 1)) / 2
    middle = mesh.corners.mean(1)
    new_quads = [np.stack([quads[:, i], edge[:, i], centre, edge[:, i - 1]], -1) for i in range(4)]
    new_corners = [
        np.stack([mesh.corners[:, i], halfway[:, i], middle, halfway[:, i - 1]], 1)
        for i in range(4)
    ]
    return Surface(new_weights, np.concatenate(new_quads), np.concatenate(new_corners))


def split(mesh: Surface) -> Split:
    """Splits vertices along seams of the texture."""
    flat = mesh.corners.reshape(-1, 2)
    key = np.c_[mesh.quads.ravel(), np.round(flat * 1e5)].astype(np.int64)
    unique, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    quads = inverse.reshape(-1, 4)
    triangles = Surface(mesh.weights, quads, mesh.corners).triangles()
    return Split(unique[:, 0], flat[first], triangles)


def normals(points: Floats, triangles: Ints) -> Floats:
    """Unit normals of vertices, weighted by the areas around them."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    facing = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for i in range(3):
        np.add.at(total, triangles[:, i], facing)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
